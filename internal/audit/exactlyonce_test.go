package audit_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"stevedore/internal/audit"
	"stevedore/internal/ingest"
)

// exactlyOnce returns one file that arrived exactly once.
func exactlyOnce() ([]audit.Source, audit.Evidence) {
	file := ingest.File{
		UUID: "u", ServerName: "acme", RemotePath: "/a", Size: 3, Hash: "h", Status: ingest.StatusCompleted, ObjectKey: "k",
	}
	var events []ingest.StoredEvent
	for _, e := range []ingest.EventType{
		"discovered", "settled", "download_started", "downloaded", "verified", "minio_upload_start", "minio_uploaded", "amqp_notify_sent",
	} {
		events = append(events, ingest.StoredEvent{Type: e})
	}
	return []audit.Source{{Server: "acme", Path: "/a", Size: 3, SHA256: "h"}}, audit.Evidence{
		Rows:     []audit.Row{{File: file, Events: events}},
		Objects:  []audit.StoredObject{{Key: "k", Size: 3, SHA256: "h", MetaSHA256: "h"}},
		Messages: []audit.Message{{ID: "m", Key: "k", SHA256: "h"}, {ID: "m", Key: "k", SHA256: "h"}},
	}
}

func TestCheckFindsNothingInACorrectSystem(t *testing.T) {
	t.Parallel()
	assert.Empty(t, audit.Check(exactlyOnce()))
}

func TestCheckFindsEachDiscrepancy(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(*[]audit.Source, *audit.Evidence){
		"lost file": func(s *[]audit.Source, _ *audit.Evidence) {
			*s = append(*s, audit.Source{Server: "acme", Path: "/b"})
		},
		"second row":           func(_ *[]audit.Source, e *audit.Evidence) { e.Rows = append(e.Rows, e.Rows[0]) },
		"row without a source": func(s *[]audit.Source, _ *audit.Evidence) { *s = nil },
		"unfinished row": func(_ *[]audit.Source, e *audit.Evidence) {
			e.Rows = append(e.Rows, audit.Row{File: ingest.File{Status: ingest.StatusUploading}})
		},
		"other bytes":    func(_ *[]audit.Source, e *audit.Evidence) { e.Objects[0].SHA256 = "x" },
		"other metadata": func(_ *[]audit.Source, e *audit.Evidence) { e.Objects[0].MetaSHA256 = "x" },
		"short object":   func(_ *[]audit.Source, e *audit.Evidence) { e.Objects[0].Size = 2 },
		"no object":      func(_ *[]audit.Source, e *audit.Evidence) { e.Objects = nil },
		"object without a row": func(_ *[]audit.Source, e *audit.Evidence) {
			e.Objects = append(e.Objects, audit.StoredObject{Key: "z"})
		},
		"second object":   func(_ *[]audit.Source, e *audit.Evidence) { e.Objects = append(e.Objects, e.Objects[0]) },
		"no message":      func(_ *[]audit.Source, e *audit.Evidence) { e.Messages = nil },
		"two message ids": func(_ *[]audit.Source, e *audit.Evidence) { e.Messages[1].ID = "n" },
		"wrong message":   func(_ *[]audit.Source, e *audit.Evidence) { e.Messages[0].SHA256 = "x" },
		"message without a row": func(_ *[]audit.Source, e *audit.Evidence) {
			e.Messages = append(e.Messages, audit.Message{ID: "n", Key: "z"})
		},
		"event repeated": func(_ *[]audit.Source, e *audit.Evidence) {
			e.Rows[0].Events = append(e.Rows[0].Events, e.Rows[0].Events[7])
		},
		"event missing": func(_ *[]audit.Source, e *audit.Evidence) { e.Rows[0].Events = e.Rows[0].Events[1:] },
		"open upload":   func(_ *[]audit.Source, e *audit.Evidence) { e.OpenUploads = 1 },
		"staged file":   func(_ *[]audit.Source, e *audit.Evidence) { e.Staged = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sources, evidence := exactlyOnce()
			damage(&sources, &evidence)
			assert.NotEmpty(t, audit.Check(sources, evidence))
		})
	}
}
