package console

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/number"

	"stevedore/internal/ingest"
)

var units = []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}

// bytes formats a size in binary units, as rclone does.
func (v *view) bytes(n int64) string {
	value, unit := float64(n), 0
	for ; value >= 1024 && unit < len(units)-1; unit++ {
		value /= 1024
	}
	if unit == 0 {
		return v.T("%d B", n)
	}
	return v.p.Sprint(number.Decimal(value, number.MaxFractionDigits(1))) + " " + v.T(units[unit])
}

// rate formats a transfer rate.
func (v *view) rate(perSecond float64) string { return v.T("%s/s", v.bytes(int64(perSecond))) }

// span formats a duration with its two largest units.
func (v *view) span(d time.Duration) string {
	switch d = d.Abs(); {
	case d < time.Second:
		return v.T("%d ms", d.Milliseconds())
	case d < time.Minute:
		return v.T("%d s", int64(d.Seconds()))
	case d < time.Hour:
		return v.two(v.T("%d min", int64(d.Minutes())), int64(d.Seconds())%60, "%d s")
	case d < 24*time.Hour:
		return v.two(v.T("%d h", int64(d.Hours())), int64(d.Minutes())%60, "%d min")
	default:
		return v.two(v.T("%d d", int64(d.Hours())/24), int64(d.Hours())%24, "%d h")
	}
}

// two appends n of a smaller unit unless n is 0.
func (v *view) two(large string, n int64, unit string) string {
	if n == 0 {
		return large
	}
	return large + " " + v.T(unit, n)
}

// percent returns done as a share of total, from 0 to 100.
func percent(done, total int64) int {
	if total <= 0 {
		return 0
	}
	return int(min(100, max(0, done*100/total)))
}

// clock formats a time in UTC. Scripts convert it to the chosen zone.
func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }

// unverified reports whether the event is an operator action that was not requested
// through the API.
func unverified(event ingest.StoredEvent) bool {
	return event.Type == ingest.EventOperatorAction && event.Details["verified"] == false
}

// short returns the first eight characters of a uuid.
func short(id string) string { return id[:min(8, len(id))] }

// quoted returns the text as one word of a shell command. Invisible characters become
// escapes of bash, zsh and ksh: pasted unescaped they could end a bracketed paste and
// execute a command.
func quoted(text string) string {
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return "$'" + escaped(text) + "'"
	}
	if text != "" && !strings.ContainsFunc(text, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=@", r)
	}) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// escaped returns the text for $'...' with invisible characters in hexadecimal.
func escaped(text string) string {
	var out strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == '\'' || r == '\\':
			out.WriteString(`\` + string(r))
		case unicode.IsPrint(r) && (r != utf8.RuneError || size > 1):
			out.WriteRune(r)
		default:
			for _, b := range []byte(text[:size]) {
				fmt.Fprintf(&out, `\x%02x`, b)
			}
		}
		text = text[size:]
	}
	return out.String()
}

// sprint formats a number for an attribute, without grouping.
func sprint(n int) string { return strconv.Itoa(n) }

// fixed formats a coordinate.
func fixed(f float64) string { return fmt.Sprintf("%.1f", f) }

// happened summarizes completed files and failures.
func (v *view) happened(h ingest.HourStats) string {
	return v.T("%d files completed", h.Completed) + " · " + v.bytes(h.Bytes) + " · " + v.T("%d failures", h.Failures)
}
