package ingest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"stevedore/internal/ingest"
)

// The note must explain that a version superseded because of its bytes may be
// ingested later, because no newer version needs to exist.
func TestNoteOfFileSupersededWhileRead(t *testing.T) {
	t.Parallel()
	for kind, noted := range map[ingest.Kind]bool{ingest.KindChanged: true, ingest.KindSameContent: false, "": false} {
		f := ingest.File{Status: ingest.StatusSuperseded, ErrorKind: kind, ModTime: time.Unix(1, 0)}
		notes := f.Notes(time.Unix(2, 0))
		assert.Equal(t, noted, len(notes) == 1, "%s: %v", kind, notes)
		if noted {
			assert.Contains(t, notes[0].String(), "it is retried; after 5 attempts it fails")
		}
	}
}
