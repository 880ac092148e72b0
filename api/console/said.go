package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"golang.org/x/text/language"

	"stevedore/internal/ingest"
)

// said is what people are told, above all of errors.
type said struct {
	// text is in the page's language.
	text string
	// original, may be empty, is the line of the part that the matter comes
	// from. All parts speak English; pages in another language mark it so.
	original string
}

// plain is what the console says itself.
func plain(text string) said { return said{text: text} }

func (s said) empty() bool { return s == said{} }

// whole is all of it as one line, for where nothing can be marked.
func (s said) whole() string {
	if s.text == "" || s.original == "" {
		return ingest.DisplayPath(s.text + s.original)
	}
	return s.text + " " + ingest.DisplayPath(s.original)
}

// translated reports whether the page's language is another than the parts'.
func (v *view) translated() bool { return v.lang != language.English }

// line is a line that a part has written. In another language than its own a
// headline comes before it.
func (v *view) line(headline, original string) said {
	if !v.translated() || original == "" {
		return plain(ingest.DisplayPath(original))
	}
	return said{text: headline, original: original}
}

// told is an error of the console itself: key is one of the translated texts.
type told struct {
	key   string
	args  []any
	cause error
}

func (t *told) Error() string { return fmt.Sprintf(t.key, t.args...) }

func (t *told) Unwrap() error { return t.cause }

// words are the arguments of a text; roles have words of their own.
func (v *view) words(args []any) []any {
	words := slices.Clone(args)
	for i, arg := range words {
		if role, is := arg.(ingest.Role); is {
			words[i] = v.T(string(role))
		}
	}
	return words
}

// tell returns an error of the kind whose text is translated when it is shown;
// cause may be nil.
func tell(kind ingest.Kind, cause error, key string, args ...any) error {
	t := &told{key, args, cause}
	return ingest.Wrap(kind, t, "%s", t.Error())
}

// unread is the error of a form that could not be read.
func unread(err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return err
	}
	return tell(ingest.KindInvalid, err, "The form could not be read.")
}

// said is what people are told of an error. One that nobody classified keeps its
// text to itself: it may name inner addresses.
func (v *view) said(err error) said {
	var (
		ours  *told
		known *ingest.Error
		large *http.MaxBytesError
	)
	switch {
	case errors.As(err, &ours):
		return plain(v.T(ours.key, v.words(ours.args)...))
	case errors.As(err, &large):
		return plain(v.T("The form is too large: at most %d KiB.", large.Limit>>10))
	case errors.Is(err, ingest.ErrNotFound):
		return v.line(v.T("Not found."), original(err))
	case errors.Is(err, ingest.ErrStale):
		return v.line(v.T("Changed by another request. Reload the page and repeat."), original(err))
	case errors.As(err, &known):
		return v.line(v.T(kindWords[known.Kind]), known.Message)
	case errors.Is(err, context.DeadlineExceeded):
		return plain(v.T("A dependency did not respond in time. Try again."))
	default:
		return plain(v.T("Internal error. See the log for the request id."))
	}
}

func original(err error) string {
	var known *ingest.Error
	if errors.As(err, &known) {
		return known.Message
	}
	return ""
}

// kindWords say what the kinds of errors mean to people.
var kindWords = map[ingest.Kind]string{
	ingest.KindTransient:          "Temporary failure.",
	ingest.KindAuth:               "The server rejected the credentials.",
	ingest.KindHostKey:            "The host key is not approved.",
	ingest.KindPermission:         "Access denied.",
	ingest.KindNotFound:           "The file is no longer on the server.",
	ingest.KindChanged:            "The file changed on the server.",
	ingest.KindHashMismatch:       "The checksum does not match.",
	ingest.KindStagingLost:        "Staged data is missing.",
	ingest.KindStagingFull:        "The staging volume is full.",
	ingest.KindStagingUnavailable: "The staging folder is unavailable.",
	ingest.KindSlow:               "The transfer was slower than the minimum rate.",
	ingest.KindUnsafeName:         "The name is unsafe.",
	ingest.KindForbiddenAddress:   "The server's address is not allowed.",
	ingest.KindMissing:            "A required object does not exist.",
	ingest.KindConflict:           "Conflict with the current state.",
	ingest.KindNoSlot:             "No free slot.",
	ingest.KindFenced:             "Another attempt is processing the file.",
	ingest.KindUnsettled:          "The file keeps changing; it is ingested once it is stable.",
	ingest.KindSameContent:        "The file has a new modification time but the content of an ingested version.",
	ingest.KindOrphaned:           "The workflow ended; it is restarted automatically.",
	ingest.KindInvalid:            "Invalid request.",
	ingest.KindServer:             "The server cannot be used with these settings.",
	ingest.KindSuspended:          "The server is suspended.",
	ingest.KindSourceGone:         "The source disappeared after it was read.",
}

// fieldWords say what would be right in a field that was refused.
var fieldWords = map[string]string{
	"name":         "Use 1 to 63 letters, digits, '-', '_' or '.'.",
	"host":         "Use a DNS name or an IP address.",
	"port":         "Use a number from 1 to 65535.",
	"username":     "Must not be empty or contain invisible characters.",
	"credentials":  "Enter a password, a private key or both.",
	"private_key":  "Use a complete private key in OpenSSH, PEM or PuTTY format, not a public key.",
	"passphrase":   "The private key is encrypted: enter its passphrase.",
	"certificate":  "Use the user certificate of this private key, and enter both together.",
	"host_keys":    "Use one line per key, e.g. 'ssh-ed25519 AAAA…', without a host name.",
	"root_path":    "Use an absolute path, or ~/dir below the home folder, without '..' or a '/' at its end.",
	"include":      "Use globs such as **/*.csv.",
	"exclude":      "Use globs such as **/*.csv.",
	"max_parallel": "Use a number from 1 to 256.",
	"max_depth":    "Use a number from 1 to 64.",
	"settle":       "Use a time from 0s to 24h.",
	"min_age":      "Use a time from 0s to 168h.",
	"sidecar_wait": "Use a time from 0s to 168h.",
	"done_marker":  "Use a file name; * is the name of the file, e.g. *.done.",
	"transfer":     "Choose one of the options.",
	"after_ingest": "Use keep, delete or move:/dir.",
	"on_collision": "Choose one of the options.",
	"role":         "Choose one of the options.",
	"expires":      "Use a whole number of days from 1 to 3650.",
}

// field is what is wrong with a field of a form.
func (v *view) field(wrong ingest.FieldError) said {
	word := fieldWords[wrong.Field]
	for _, info := range ingest.OptionTable {
		if info.Field == wrong.Field {
			word = info.Help
		}
	}
	if word == "" {
		word = kindWords[ingest.KindInvalid]
	}
	return v.line(v.T(word), wrong.Message)
}
