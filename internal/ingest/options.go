package ingest

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Options are the rarely used settings of a server. The zero value of each is its
// default. They are stored as one JSON object and described by OptionTable, which
// the API, command line, console and audit log use.
type Options struct {
	// InProgressNames are globs for names of files in progress, which are not
	// ingested. They match the last element of the path, ignoring case.
	// InProgressDefault in the list stands for DefaultInProgressNames. Default nil,
	// which means InProgressDefault alone; an empty list means no globs.
	InProgressNames []string `json:"in_progress_names,omitzero"`
	// MinSize is the minimum size in bytes; smaller files count as in progress.
	// Default 0.
	MinSize int64 `json:"min_size,omitzero"`
	// Companions selects what happens to the done-marker and checksum file of a file
	// that is deleted or moved after ingest. Default CompanionsFollow.
	Companions Companions `json:"companions,omitzero"`
	// Identity selects the attributes that identify a version. Default IdentitySizeTime.
	Identity Identity `json:"identity,omitzero"`
	// HoldChanges is the number of known files that may look new in one listing. If
	// more do, all of them are held for an operator. Default 0, which means
	// DefaultHoldChanges; -1 disables holding.
	HoldChanges int `json:"hold_changes,omitzero"`
	// Resent selects the reaction to an unchanged file that reappears after it was
	// deleted or moved on the server. Default ResentShow.
	Resent Resent `json:"resent,omitzero"`
	// Moved selects the reaction to a new file with the name, size and time of an
	// ingested file of another path that is gone. Default MovedHold.
	Moved Moved `json:"moved,omitzero"`
	// FollowLinks ingests files behind symbolic links that point below the root
	// folder. Default false: symbolic links are rejected.
	FollowLinks bool `json:"follow_links,omitzero"`
	// ConnectTimeout bounds the TCP connection, LoginTimeout the time from the first
	// byte to the open SFTP channel, and AnswerTimeout the time without data during
	// one exchange. Default 0, which means the worker's timeouts.
	ConnectTimeout Duration `json:"connect_timeout,omitzero"`
	LoginTimeout   Duration `json:"login_timeout,omitzero"`
	AnswerTimeout  Duration `json:"answer_timeout,omitzero"`
	// MaxConnections bounds the connections of all processes to the server; listings
	// and transfers share them. Default 0, which means MaxParallel and one more, or
	// the measured limit of the server; 1 when MaxParallel is 1.
	MaxConnections int `json:"max_connections,omitzero"`
	// MaxReads bounds the outstanding read requests of one file. Default 0, which
	// means the measured limit of the server.
	MaxReads int `json:"max_reads,omitzero"`
	// MinRate is the minimum rate in bytes per second. A transfer below it for a
	// minute is ended and deferred, so that it does not hold a slot. Default 0, which
	// disables the check.
	MinRate int64 `json:"min_rate,omitzero"`
	// Proxy is the address of a SOCKS5 or HTTP proxy: socks5://host:port or
	// http://host:port. Default none.
	Proxy string `json:"proxy,omitzero"`
	// Jump is the name of another server of stevedore, whose SSH connection is used to
	// reach this one. Default none.
	Jump string `json:"jump,omitzero"`
	// AllowOverlap permits a server that may ingest the same files as another one;
	// each of the two then publishes a notification. Default false. See
	// Server.Overlap.
	AllowOverlap bool `json:"allow_overlap,omitzero"`
}

// InProgressDefault stands for DefaultInProgressNames in Options.InProgressNames.
const InProgressDefault = "default"

// DefaultHoldChanges is the number meant by Options.HoldChanges 0.
const DefaultHoldChanges = 100

// Companions selects what happens to a file's done-marker and checksum file.
type Companions string

// The choices for companions: delete or move them with their file, or leave them.
const (
	CompanionsFollow Companions = "follow"
	CompanionsStay   Companions = "stay"
)

// Identity selects the attributes that identify a version of a file.
type Identity string

// The identities. With IdentitySize a new time alone makes no new version. With
// IdentitySizeHash a file with a new time is read, and is a new version only if
// its content differs.
const (
	IdentitySizeTime Identity = "size+mtime"
	IdentitySize     Identity = "size"
	IdentitySizeHash Identity = "size+hash"
)

// Resent selects the reaction to an unchanged file that reappears.
type Resent string

// The reactions: report the file to operators, or ingest it again.
const (
	ResentShow    Resent = "show"
	ResentDeliver Resent = "deliver"
)

// Moved selects the reaction to a file that seems to have been moved after ingest.
type Moved string

// The reactions: hold the file for an operator, or ingest it.
const (
	MovedHold    Moved = "hold"
	MovedDeliver Moved = "deliver"
)

// Duration is a time.Duration that JSON represents as a string like "1m30s".
type Duration time.Duration

// MarshalText formats the duration as time.Duration.String does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText parses the duration as time.ParseDuration does.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = Duration(parsed)
	return err
}

// OptionInfo describes one of the Options.
type OptionInfo struct {
	// Field is the name in API and ledger.
	Field string
	// Label is the label in forms, Help a one-line description.
	Label, Help string
	// Choices are the valid values, the default first; empty when values are not limited.
	Choices []string
}

// OptionTable lists all Options in display order. A new option needs a field of Options,
// a row here, the field in api/openapi.yaml (three places), a check in validateOptions and
// Russian texts in api/console/russian.go; tests fail for missing ones.
var OptionTable = []OptionInfo{
	{"in_progress_names", "Names of files in progress", "Globs for names of unfinished files. Empty uses the list for common clients, '-' uses none.", nil},
	{"min_size", "Minimum size", "In bytes; smaller files count as in progress.", nil},
	{"companions", "Done-markers and checksum files", "Delete or move done-markers and checksum files with their file, or leave them.", []string{string(CompanionsFollow), string(CompanionsStay)}},
	{"identity", "Version identity", "Attributes that identify a version: size and time, size alone, or size and content.", []string{string(IdentitySizeTime), string(IdentitySize), string(IdentitySizeHash)}},
	{"hold_changes", "Hold changes above", "If more known files than this look new in one listing, they are held for an operator; 0 uses the default of 100, -1 disables.", nil},
	{"resent", "Reappeared files", "An unchanged file that reappears after it was deleted or moved: report it, or ingest it again.", []string{string(ResentShow), string(ResentDeliver)}},
	{"moved", "Moved files", "A new file with the name, size and time of an ingested file of another path that is gone: hold it for an operator, or ingest it.", []string{string(MovedHold), string(MovedDeliver)}},
	{"follow_links", "Follow symbolic links", "Ingest files behind links that point below the root folder.", nil},
	{"connect_timeout", "Connect timeout", "Timeout of the TCP connection; 0s uses the worker's.", nil},
	{"login_timeout", "Log-in timeout", "Timeout from the first byte to the open SFTP channel; 0s uses the worker's.", nil},
	{"answer_timeout", "Response timeout", "Longest time without data from the server; 0s uses the worker's.", nil},
	{"max_connections", "Maximum connections", "Connections of all workers, tests and audits together; listings and transfers share them. 0 detects the server's limit.", nil},
	{"max_reads", "Maximum outstanding reads", "Outstanding reads of one file. 0 detects the server's limit.", nil},
	{"min_rate", "Minimum rate", "Bytes per second; a slower transfer is deferred. 0 disables.", nil},
	{"proxy", "Proxy", "Address of a proxy: socks5://host:port or http://host:port.", nil},
	{"jump", "Jump host", "Name of another configured server through which this one is reached.", nil},
	{"allow_overlap", "Allow overlap", "Allow another server to ingest the same files; both publish notifications.", nil},
}

// Flag returns the name of the option on the command line.
func (i OptionInfo) Flag() string { return strings.ReplaceAll(i.Field, "_", "-") }

// Switch reports whether the option is a boolean.
func (i OptionInfo) Switch() bool { return i.of(&Options{}).Kind() == reflect.Bool }

// List reports whether the option is a list of strings.
func (i OptionInfo) List() bool { return i.of(&Options{}).Kind() == reflect.Slice }

// of returns the option's field in o.
func (i OptionInfo) of(o *Options) reflect.Value {
	value := reflect.ValueOf(o).Elem()
	for n := range value.NumField() {
		if name, _, _ := strings.Cut(value.Type().Field(n).Tag.Get("json"), ","); name == i.Field {
			return value.Field(n)
		}
	}
	panic("no option is called " + i.Field) // OptionTable is static and tested
}

// IsSet reports whether the option differs from its default.
func (i OptionInfo) IsSet(o Options) bool { return !i.of(&o).IsZero() }

// Text returns the option's value as text, with one line for each element of a list.
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

// SetText sets the option from its text form; an empty text sets the default.
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

// listOf returns the non-empty lines of text; "-" is an empty list.
func listOf(text string) []string {
	list := []string{}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && line != "-" {
			list = append(list, line)
		}
	}
	return list
}

// Value returns the option's value for JSON, with the default filled in.
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

// OptionValues returns the values of all options by field, see OptionInfo.Value.
func (o Options) OptionValues() map[string]any {
	values := make(map[string]any, len(OptionTable))
	for _, info := range OptionTable {
		values[info.Field] = info.Value(o)
	}
	return values
}

// NormalizeOptions replaces explicit defaults by the zero value, so that equal
// options compare equal.
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

// validateOptions returns a FieldError for each invalid option.
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

// maxAnswerTimeout bounds the timeouts of a server. A longer pause in a listing
// cannot be distinguished from a dead connection.
const maxAnswerTimeout = 30 * time.Minute
