package oracle_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"stevedore/internal/ingest"
	"stevedore/internal/oracle"
)

// good is one file that arrived exactly once.
func good() ([]oracle.Source, oracle.Evidence) {
	file := ingest.File{
		UUID: "u", ServerName: "acme", RemotePath: "/a", Size: 3, Hash: "h", Status: ingest.StatusCompleted, ObjectKey: "k",
	}
	var events []ingest.StoredEvent
	for _, e := range []ingest.EventType{
		"discovered", "settled", "download_started", "downloaded", "verified", "minio_upload_start", "minio_uploaded", "amqp_notify_sent",
	} {
		events = append(events, ingest.StoredEvent{Type: e})
	}
	return []oracle.Source{{Server: "acme", Path: "/a", Size: 3, SHA256: "h"}}, oracle.Evidence{
		Rows:     []oracle.Row{{File: file, Events: events}},
		Objects:  []oracle.StoredObject{{Key: "k", Size: 3, SHA256: "h", MetaSHA256: "h"}},
		Messages: []oracle.Message{{ID: "m", Key: "k", SHA256: "h"}, {ID: "m", Key: "k", SHA256: "h"}},
	}
}

func TestJudgeFindsNothingWhenAllIsRight(t *testing.T) {
	t.Parallel()
	assert.Empty(t, oracle.Judge(good()))
}

func TestJudgeFindsEachFault(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*[]oracle.Source, *oracle.Evidence){
		"lost file": func(s *[]oracle.Source, _ *oracle.Evidence) {
			*s = append(*s, oracle.Source{Server: "acme", Path: "/b"})
		},
		"row too many":   func(_ *[]oracle.Source, e *oracle.Evidence) { e.Rows = append(e.Rows, e.Rows[0]) },
		"row of nothing": func(s *[]oracle.Source, _ *oracle.Evidence) { *s = nil },
		"unfinished row": func(_ *[]oracle.Source, e *oracle.Evidence) {
			e.Rows = append(e.Rows, oracle.Row{File: ingest.File{Status: ingest.StatusUploading}})
		},
		"other bytes":    func(_ *[]oracle.Source, e *oracle.Evidence) { e.Objects[0].SHA256 = "x" },
		"other metadata": func(_ *[]oracle.Source, e *oracle.Evidence) { e.Objects[0].MetaSHA256 = "x" },
		"short object":   func(_ *[]oracle.Source, e *oracle.Evidence) { e.Objects[0].Size = 2 },
		"no object":      func(_ *[]oracle.Source, e *oracle.Evidence) { e.Objects = nil },
		"object too many": func(_ *[]oracle.Source, e *oracle.Evidence) {
			e.Objects = append(e.Objects, oracle.StoredObject{Key: "z"})
		},
		"object doubled":     func(_ *[]oracle.Source, e *oracle.Evidence) { e.Objects = append(e.Objects, e.Objects[0]) },
		"not announced":      func(_ *[]oracle.Source, e *oracle.Evidence) { e.Messages = nil },
		"two message ids":    func(_ *[]oracle.Source, e *oracle.Evidence) { e.Messages[1].ID = "n" },
		"wrong announcement": func(_ *[]oracle.Source, e *oracle.Evidence) { e.Messages[0].SHA256 = "x" },
		"stray message": func(_ *[]oracle.Source, e *oracle.Evidence) {
			e.Messages = append(e.Messages, oracle.Message{ID: "n", Key: "z"})
		},
		"event doubled": func(_ *[]oracle.Source, e *oracle.Evidence) {
			e.Rows[0].Events = append(e.Rows[0].Events, e.Rows[0].Events[7])
		},
		"event missing": func(_ *[]oracle.Source, e *oracle.Evidence) { e.Rows[0].Events = e.Rows[0].Events[1:] },
		"open upload":   func(_ *[]oracle.Source, e *oracle.Evidence) { e.OpenUploads = 1 },
		"staged file":   func(_ *[]oracle.Source, e *oracle.Evidence) { e.Staged = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sources, evidence := good()
			spoil(&sources, &evidence)
			assert.NotEmpty(t, oracle.Judge(sources, evidence))
		})
	}
}
