package admin

import (
	"fmt"
	"strings"

	"stevedore/internal/ingest"
)

// InvalidError lists all that is wrong with a request.
type InvalidError struct {
	Fields []ingest.FieldError
}

// Error returns all problems as one line.
func (e *InvalidError) Error() string {
	problems := make([]string, len(e.Fields))
	for i, field := range e.Fields {
		problems[i] = field.Message
	}
	return strings.Join(problems, "; ")
}

// fieldErrors collects what is wrong.
type fieldErrors []ingest.FieldError

func (f *fieldErrors) add(field, format string, args ...any) {
	*f = append(*f, ingest.FieldError{Field: field, Message: fmt.Sprintf(format, args...)})
}

// err returns nil when nothing is wrong, and otherwise an error of KindInvalid
// around an *InvalidError.
func (f fieldErrors) err(what string) error {
	if len(f) == 0 {
		return nil
	}
	return ingest.Wrap(ingest.KindInvalid, &InvalidError{Fields: f}, "%s", what)
}
