package ingest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"stevedore/internal/ingest"
)

// A row that stood aside because its bytes were not as expected says that it may come
// again: nothing newer need have taken its place.
func TestSupersededWhileReadSaysSo(t *testing.T) {
	t.Parallel()
	for kind, says := range map[ingest.Kind]bool{ingest.KindChanged: true, ingest.KindSameContent: false, "": false} {
		f := ingest.File{Status: ingest.StatusSuperseded, ErrorKind: kind, ModTime: time.Unix(1, 0)}
		notes := f.SightNotes(time.Unix(2, 0))
		assert.Equal(t, says, len(notes) == 1, "%s: %v", kind, notes)
		if says {
			assert.Contains(t, notes[0], "take it up again, and after 5 times it is an error")
		}
	}
}
