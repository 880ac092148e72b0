package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/language"

	"stevedore/internal/ingest"
)

// notice is a message for the user.
type notice struct {
	// text is in the page's language.
	text string
	// original is the English message of the component that caused the notice; empty
	// when there is none. Pages in other languages mark it as English.
	original string
}

// plain returns a notice of the console itself.
func plain(text string) notice { return notice{text: text} }

func (n notice) empty() bool { return n == notice{} }

// line returns the notice as plain text, for attributes.
func (n notice) line() string {
	if n.text == "" || n.original == "" {
		return ingest.DisplayPath(n.text + n.original)
	}
	return n.text + " " + ingest.DisplayPath(n.original)
}

// translated reports whether the page is not in English.
func (v *view) translated() bool { return v.lang != language.English }

// quote returns a notice with a component's English message. Pages in other languages
// show the headline before it.
func (v *view) quote(headline, original string) notice {
	if !v.translated() || original == "" {
		return plain(ingest.DisplayPath(original))
	}
	return notice{text: headline, original: original}
}

// note returns the notice of a note.
func (v *view) note(n ingest.Note) notice {
	text := ingest.DisplayPath(v.T(n.Format, v.labels(n.Args)...))
	if n.Original != "" {
		text += ":"
	}
	if !v.translated() {
		return plain(strings.TrimSpace(text + " " + ingest.DisplayPath(n.Original)))
	}
	return notice{text: text, original: n.Original}
}

// pageError is an error of the console; key is a text of the catalogue.
type pageError struct {
	key   string
	args  []any
	cause error
}

func (t *pageError) Error() string { return fmt.Sprintf(t.key, t.args...) }

func (t *pageError) Unwrap() error { return t.cause }

// labels formats the roles and durations among the arguments of a text.
func (v *view) labels(args []any) []any {
	args = slices.Clone(args)
	for i, arg := range args {
		switch arg := arg.(type) {
		case ingest.Role:
			args[i] = v.T(string(arg))
		case time.Duration:
			args[i] = v.span(arg)
		}
	}
	return args
}

// newError returns an error of the kind; its text is translated when a page shows it.
// cause may be nil.
func newError(kind ingest.Kind, cause error, key string, args ...any) error {
	t := &pageError{key, args, cause}
	return ingest.Wrap(kind, t, "%s", t.Error())
}

// formError returns the error of a form that could not be parsed.
func formError(err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return err
	}
	return newError(ingest.KindInvalid, err, "The form could not be read.")
}

// explain returns the notice of an error. It omits the message of an unclassified error,
// which may contain internal addresses.
func (v *view) explain(err error) notice {
	var (
		page  *pageError
		known *ingest.Error
		large *http.MaxBytesError
	)
	switch {
	case errors.As(err, &page):
		return plain(v.T(page.key, v.labels(page.args)...))
	case errors.As(err, &large):
		return plain(v.T("The form is too large: at most %d KiB.", large.Limit>>10))
	case errors.Is(err, ingest.ErrNotFound):
		return v.quote(v.T("Not found."), original(err))
	case errors.Is(err, ingest.ErrStale):
		return v.quote(v.T("Changed by another request. Reload the page and repeat."), original(err))
	case errors.As(err, &known):
		return v.quote(v.T(kindTexts[known.Kind]), known.Message)
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

// kindTexts explains the kinds of errors.
var kindTexts = map[ingest.Kind]string{
	ingest.KindTransient:          "Temporary failure.",
	ingest.KindAuth:               "The server rejected the credentials.",
	ingest.KindHostKey:            "The host key is not pinned.",
	ingest.KindPermission:         "Access denied.",
	ingest.KindNotFound:           "The file is no longer on the server.",
	ingest.KindChanged:            "The file changed on the server.",
	ingest.KindHashMismatch:       "The checksum does not match.",
	ingest.KindStagingLost:        "Staged data is missing.",
	ingest.KindStagingFull:        "The staging volume is full.",
	ingest.KindStagingUnavailable: "The staging folder is unavailable.",
	ingest.KindSlow:               "The transfer was slower than the minimum rate.",
	ingest.KindUnsafeName:         "The name or type is unsafe.",
	ingest.KindForbiddenAddress:   "The server's address is not allowed.",
	ingest.KindMissing:            "A required bucket, queue or row is missing.",
	ingest.KindConflict:           "Conflict with the current state.",
	ingest.KindNoSlot:             "No free slot.",
	ingest.KindFenced:             "Another attempt is processing the file.",
	ingest.KindUnsettled:          "The file keeps changing; it is ingested once it is stable.",
	ingest.KindSameContent:        "The file has a new modification time but the content of an ingested version.",
	ingest.KindWorkflowLost:       "The workflow ended; it is restarted automatically.",
	ingest.KindCancelled:          "The workflow was cancelled.",
	ingest.KindInvalid:            "Invalid request.",
	ingest.KindServer:             "The server cannot be used with these settings.",
	ingest.KindSuspended:          "The server is suspended.",
	ingest.KindSourceGone:         "The source disappeared after it was read.",
}

// kind describes a kind of error; unknown kinds are unchanged.
func (v *view) kind(k ingest.Kind) string {
	switch text := kindTexts[k]; {
	case text != "":
		return v.T(text)
	case k == "":
		return v.T("Unknown cause.")
	}
	return string(k)
}

// fieldHints describes the valid values of form fields that are not settings of a server.
var fieldHints = map[string]string{
	"credentials": "Enter a password, a private key or both.",
	"private_key": "Use a complete private key in OpenSSH, PEM or PuTTY format, not a public key.",
	"passphrase":  "The private key is encrypted: enter its passphrase.",
	"certificate": "Use the user certificate of this private key, and enter both together.",
	"role":        "Choose one of the options.",
	"expires":     "Use a whole number of days from 1 to 3650.",
}

// field returns the notice of an invalid form field.
func (v *view) field(wrong ingest.FieldError) notice {
	hint := fieldHints[wrong.Field]
	if setting, ok := ingest.SettingOf(wrong.Field); ok {
		hint = setting.Help
	}
	if hint == "" {
		hint = kindTexts[ingest.KindInvalid]
	}
	return v.quote(v.T(hint), wrong.Message)
}
