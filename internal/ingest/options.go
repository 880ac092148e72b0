package ingest

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Options are the settings that only some servers need. The zero value of each is
// its default. They are stored as one JSON object; API, command line, console and
// audit log read OptionTable.
type Options struct {
	// InProgressNames are globs for names of files that are still being written;
	// such files are not taken. They are matched against the name, in any case of
	// letters. InProgressDefault stands for DefaultInProgressNames; nil is a list
	// of it alone, an empty list means none.
	InProgressNames []string `json:"in_progress_names,omitzero"`
	// MinSize in bytes: a smaller file counts as still being written; default 0.
	MinSize int64 `json:"min_size,omitzero"`
	// Companions says what becomes of the done-marker and the checksum file of a
	// file that is deleted or moved after ingest; default CompanionsFollow.
	Companions Companions `json:"companions,omitzero"`
	// Identity says what makes a version of a file; default IdentitySizeTime.
	Identity Identity `json:"identity,omitzero"`
	// HoldChanges is how many known files may look new in one listing before all of
	// them are held for an operator; default 0, which means DefaultHoldChanges; -1
	// never holds.
	HoldChanges int `json:"hold_changes,omitzero"`
	// Resent says what a file means that is on the server again, with the same size
	// and time, after it was deleted or moved there; default ResentShow.
	Resent Resent `json:"resent,omitzero"`
	// FollowLinks takes files behind symbolic links that stay below the root
	// folder; default false: links are listed as rejected.
	FollowLinks bool `json:"follow_links,omitzero"`
	// ConnectTimeout bounds the TCP connection, LoginTimeout everything from the
	// first byte to the ready SFTP channel, AnswerTimeout how long one exchange may
	// bring nothing. Default 0: those of the worker.
	ConnectTimeout Duration `json:"connect_timeout,omitzero"`
	LoginTimeout   Duration `json:"login_timeout,omitzero"`
	AnswerTimeout  Duration `json:"answer_timeout,omitzero"`
	// MaxConnections bounds the connections of all processes to the server; listings
	// and transfers share them. Default 0: as many as files in flight, and one more, or
	// as the server is found to bear; one where files are taken one at a time.
	MaxConnections int `json:"max_connections,omitzero"`
	// MaxReads bounds the outstanding read requests of one file; default 0: as many
	// as the server is found to bear.
	MaxReads int `json:"max_reads,omitzero"`
	// MinRate in bytes per second: a transfer that stays below it for a minute is
	// ended and tried again later, so that it holds no place for long; default 0: any.
	MinRate int64 `json:"min_rate,omitzero"`
	// Proxy is the address of a SOCKS5 or HTTP proxy, socks5://host:port or
	// http://host:port; default none.
	Proxy string `json:"proxy,omitzero"`
	// Jump is the name of another server of stevedore through whose SSH connection
	// this one is reached; default none.
	Jump string `json:"jump,omitzero"`
	// AllowOverlap lets the server take files that another one here may take, too:
	// each of the two announces them. See Server.Overlap.
	AllowOverlap bool `json:"allow_overlap,omitzero"`
}

// InProgressDefault stands for DefaultInProgressNames in Options.InProgressNames.
const InProgressDefault = "default"

// DefaultHoldChanges is what Options.HoldChanges is when not set.
const DefaultHoldChanges = 100

// Companions is what becomes of a file's done-marker and checksum file.
type Companions string

// The choices for companions: they are deleted or moved with their file, or stay.
const (
	CompanionsFollow Companions = "follow"
	CompanionsStay   Companions = "stay"
)

// Identity is what makes a version of a file.
type Identity string

// The identities. With IdentitySize a new time alone makes no new version; with
// IdentitySizeHash a file with a new time is read, and is a new version only if
// its content differs.
const (
	IdentitySizeTime Identity = "size+mtime"
	IdentitySize     Identity = "size"
	IdentitySizeHash Identity = "size+hash"
)

// Resent is what a file means that is there again, unchanged, after it was taken
// away.
type Resent string

// The meanings: an operator is shown that it is there, or it is delivered again.
const (
	ResentShow    Resent = "show"
	ResentDeliver Resent = "deliver"
)

// Duration is a time.Duration that is written like "1m30s" in JSON.
type Duration time.Duration

// MarshalText writes the duration as time.Duration does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = Duration(parsed)
	return err
}

// OptionInfo describes one of the Options.
type OptionInfo struct {
	// Field is its name in the API and in the ledger; the flag is the same with '-'.
	Field string
	// Label is a short name for forms, Help one line that says what is right.
	Label, Help string
	// Choices, if any, are the only values; the first one is the default.
	Choices []string
}

// OptionTable lists all Options in the order in which people see them.
var OptionTable = []OptionInfo{
	{"in_progress_names", "Names of files in progress", "Globs for names that are still being written. Empty takes those of common clients, '-' alone means none.", nil},
	{"min_size", "Minimum size", "A smaller file, in bytes, counts as still being written.", nil},
	{"companions", "Markers and checksum files", "Done-markers and checksum files follow a file that is deleted or moved, or stay.", []string{string(CompanionsFollow), string(CompanionsStay)}},
	{"identity", "A new version is", "What makes a version: size and time, size alone, or size and content.", []string{string(IdentitySizeTime), string(IdentitySize), string(IdentitySizeHash)}},
	{"hold_changes", "Hold changes above", "If more known files than this look new at once, they wait for an operator; 0 takes the default of 100, -1 never holds.", nil},
	{"resent", "Same file again", "A file that is there again unchanged after it was deleted or moved: show it, or deliver it again.", []string{string(ResentShow), string(ResentDeliver)}},
	{"follow_links", "Follow symbolic links", "Take files behind links that stay below the root folder.", nil},
	{"connect_timeout", "Connect timeout", "Longest time for the TCP connection; 0s takes the worker's.", nil},
	{"login_timeout", "Log-in timeout", "Longest time from the first byte to the ready SFTP channel; 0s takes the worker's.", nil},
	{"answer_timeout", "Answer timeout", "How long the server may bring nothing; 0s takes the worker's.", nil},
	{"max_connections", "Connections at most", "Most connections of all workers, tests and audits together; listings and transfers share them. 0: as many as the server bears.", nil},
	{"max_reads", "Outstanding reads at most", "Most outstanding reads of one file; 0: as many as the server bears.", nil},
	{"min_rate", "Minimum rate", "Bytes per second; a slower transfer gives its place to others. 0: any.", nil},
	{"proxy", "Proxy", "Address of a proxy, socks5://host:port or http://host:port.", nil},
	{"jump", "Jump host", "Name of another server here, through which this one is reached.", nil},
	{"allow_overlap", "Allow overlap", "Another server here may take the same files; each of the two announces them.", nil},
}

// Flag is the name of the option on the command line.
func (i OptionInfo) Flag() string { return strings.ReplaceAll(i.Field, "_", "-") }

// Switch reports whether the option is on or off.
func (i OptionInfo) Switch() bool { return i.of(&Options{}).Kind() == reflect.Bool }

// List reports whether the option is a list of texts.
func (i OptionInfo) List() bool { return i.of(&Options{}).Kind() == reflect.Slice }

// of returns the option's field of o.
func (i OptionInfo) of(o *Options) reflect.Value {
	value := reflect.ValueOf(o).Elem()
	for n := range value.NumField() {
		if name, _, _ := strings.Cut(value.Type().Field(n).Tag.Get("json"), ","); name == i.Field {
			return value.Field(n)
		}
	}
	panic("no option is called " + i.Field) // OptionTable is part of the program, and a test reads all of it
}

// IsSet reports whether the option differs from its default.
func (i OptionInfo) IsSet(o Options) bool { return !i.of(&o).IsZero() }

// Text returns the option as people write it, one line for each entry of a list.
func (i OptionInfo) Text(o Options) string {
	switch value := i.of(&o); {
	case value.IsZero() && len(i.Choices) > 0:
		return i.Choices[0]
	case value.Kind() == reflect.Slice && value.IsNil():
		return ""
	case value.Kind() == reflect.Slice && value.Len() == 0:
		return "-"
	case value.Kind() == reflect.Slice:
		return strings.Join(value.Interface().([]string), "\n")
	case value.Type() == reflect.TypeFor[Duration]():
		return time.Duration(value.Int()).String()
	default:
		return fmt.Sprint(value.Interface())
	}
}

// SetText sets the option from what people write; an empty text sets the default.
func (i OptionInfo) SetText(o *Options, text string) error {
	value, text := i.of(o), strings.TrimSpace(text)
	switch {
	case text == "":
		value.SetZero()
	case value.Kind() == reflect.Slice:
		value.Set(reflect.ValueOf(listOf(text)))
	case value.Kind() == reflect.String:
		value.SetString(text)
	case value.Kind() == reflect.Bool:
		on, err := strconv.ParseBool(text)
		if err != nil {
			return fieldErrorf(i.Field, "%s %q: use true or false", i.Flag(), text)
		}
		value.SetBool(on)
	case value.Type() == reflect.TypeFor[Duration]():
		d, err := time.ParseDuration(text)
		if err != nil {
			return fieldErrorf(i.Field, "%s %q: use a duration such as 10s or 5m", i.Flag(), text)
		}
		value.SetInt(int64(d))
	default:
		n, err := strconv.ParseInt(text, 10, value.Type().Bits())
		if err != nil {
			return fieldErrorf(i.Field, "%s %q: use a whole number", i.Flag(), text)
		}
		value.SetInt(n)
	}
	o.NormalizeOptions()
	return nil
}

// listOf returns the lines of text; "-" is a list without any.
func listOf(text string) []string {
	list := []string{}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && line != "-" {
			list = append(list, line)
		}
	}
	return list
}

// Value returns the option as it stands in JSON; a default is written out.
func (i OptionInfo) Value(o Options) any {
	switch value := i.of(&o); {
	case value.IsZero() && len(i.Choices) > 0:
		return i.Choices[0]
	case value.IsZero() && value.Kind() == reflect.Slice:
		return []string{InProgressDefault}
	default:
		return value.Interface()
	}
}

// OptionValues returns all options by field, see OptionInfo.Value.
func (o Options) OptionValues() map[string]any {
	values := make(map[string]any, len(OptionTable))
	for _, info := range OptionTable {
		values[info.Field] = info.Value(o)
	}
	return values
}

// NormalizeOptions makes what names its default the zero value, so that equal options are
// the same.
func (o *Options) NormalizeOptions() {
	for _, info := range OptionTable {
		switch value := info.of(o); {
		case len(info.Choices) > 0 && value.String() == info.Choices[0]:
			value.SetZero()
		case value.Kind() == reflect.Slice && value.Len() == 1 && value.Index(0).String() == InProgressDefault:
			value.SetZero()
		}
	}
}

// validateOptions returns what is wrong with them, each a FieldError.
func (s Server) validateOptions() (errs []error) {
	bad := func(field, format string, args ...any) { errs = append(errs, fieldErrorf(field, format, args...)) }
	for _, info := range OptionTable {
		if len(info.Choices) > 0 && !slices.Contains(info.Choices, info.Text(s.Options)) {
			bad(info.Field, "%s %q: use %s", info.Flag(), info.Text(s.Options), strings.Join(info.Choices, " or "))
		}
	}
	for field, limit := range map[string][3]int64{
		"min_size": {s.MinSize, 0, 1 << 40}, "hold_changes": {int64(s.HoldChanges), -1, 1 << 30},
		"max_connections": {int64(s.MaxConnections), 0, MaxParallelLimit}, "max_reads": {int64(s.MaxReads), 0, 64},
		"min_rate": {s.MinRate, 0, 1 << 40},
	} {
		if limit[0] < limit[1] || limit[0] > limit[2] {
			bad(field, "%s %d: use %d to %d", strings.ReplaceAll(field, "_", "-"), limit[0], limit[1], limit[2])
		}
	}
	for field, d := range map[string]Duration{
		"connect_timeout": s.ConnectTimeout, "login_timeout": s.LoginTimeout, "answer_timeout": s.AnswerTimeout,
	} {
		if d != 0 && (time.Duration(d) < time.Second || time.Duration(d) > maxAnswerTimeout) {
			bad(field, "%s %s: use 1s to %s, or 0s for the worker's", strings.ReplaceAll(field, "_", "-"), time.Duration(d), maxAnswerTimeout)
		}
	}
	return append(errs, s.validateRoute()...)
}

// maxAnswerTimeout bounds the time-outs of a server. A listing that says nothing for
// longer cannot be told from a dead one.
const maxAnswerTimeout = 30 * time.Minute
