package admin

import (
	"fmt"

	"stevedore/internal/ingest"
)

// fieldErrors collects what is wrong.
type fieldErrors []ingest.FieldError

func (f *fieldErrors) add(field, format string, args ...any) {
	*f = append(*f, ingest.FieldError{Field: field, Message: fmt.Sprintf(format, args...)})
}

// err returns nil when nothing is wrong, and otherwise an error of KindInvalid
// around an *ingest.InvalidError.
func (f fieldErrors) err(what string) error {
	if len(f) == 0 {
		return nil
	}
	return ingest.Wrap(ingest.KindInvalid, &ingest.InvalidError{Fields: f}, "%s", what)
}
