package console

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/number"

	"stevedore/internal/ingest"
)

var units = []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}

// bytes returns a size for people, in binary units as rclone writes them.
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

// rate returns a speed for people.
func (v *view) rate(perSecond float64) string { return v.T("%s/s", v.bytes(int64(perSecond))) }

// span returns a duration for people, with its two largest units.
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

// two adds a smaller unit, unless there is none of it.
func (v *view) two(large string, n int64, unit string) string {
	if n == 0 {
		return large
	}
	return large + " " + v.T(unit, n)
}

// percent returns how much of the total is done, from 0 to 100.
func percent(done, total int64) int {
	if total <= 0 {
		return 0
	}
	return int(min(100, max(0, done*100/total)))
}

// clock is a time as it stands in a page before scripts make it a person's own.
func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }

// details lists an event's details in order of their names, harmless to print.
func details(values map[string]any) (list [][2]string) {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		text, ok := values[name].(string)
		if number, is := values[name].(float64); is {
			text, ok = strconv.FormatFloat(math.Round(number*1000)/1000, 'f', -1, 64), true
		}
		if !ok {
			encoded, err := json.Marshal(values[name])
			if err != nil {
				continue
			}
			text = string(encoded)
		}
		list = append(list, [2]string{name, ingest.DisplayPath(text)})
	}
	return list
}

// unverified reports whether the event is an operator's action that did not come by
// the API or the command line.
func unverified(event ingest.StoredEvent) bool {
	return event.Type == ingest.EventOperatorAction && event.Details["verified"] == false
}

// short is the beginning of a uuid, enough to tell it from others.
func short(id string) string { return id[:min(8, len(id))] }

// quoted is a text as one word of a shell command. What cannot be seen is
// written as escapes (bash, zsh and ksh read them): pasted as it is, it could
// end the paste and type a command of its own.
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

// escaped is a text for within $'...', the bytes of all that cannot be seen in
// hexadecimal.
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

// sprint is for numbers within attributes, which are not for people.
func sprint(n int) string { return strconv.Itoa(n) }

// fixed is a number for coordinates.
func fixed(f float64) string { return fmt.Sprintf("%.1f", f) }

// happened says how much was completed and how often something failed.
func (v *view) happened(h ingest.HourStats) string {
	return v.T("%d files completed", h.Completed) + " · " + v.bytes(h.Bytes) + " · " + v.T("%d failures", h.Failures)
}

// hour says what happened in one hour.
func (v *view) hour(h ingest.HourStats) string {
	return h.Start.UTC().Format("15:04") + " UTC: " + v.happened(h)
}
