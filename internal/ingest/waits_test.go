package ingest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

// TestWaits: each unfinished file without a running step has one reason.
func TestWaits(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for want, f := range map[string]ingest.File{
		"its paused server; run `stevedore server resume acme`":  {Status: ingest.StatusReady, ServerPaused: true, ServerSuspended: true, ServerName: "acme"},
		"its suspended server; run `stevedore server test acme`": {Status: ingest.StatusDiscovered, ServerSuspended: true, ServerName: "acme"},
		"its done-marker /100%d.done":                            {Status: ingest.StatusDiscovered, WaitsFor: "its done-marker /100%d.done", SettlesAt: at},
		"its settle time, until 2026-01-02T03:04:05Z":            {Status: ingest.StatusDiscovered, SettlesAt: at},
		"its next try at 2026-01-02T03:04:05Z":                   {Status: ingest.StatusReady, Deferrals: 1, NotBefore: at},
		"a free slot of the server, or a worker":                 {Status: ingest.StatusReady, WaitsFor: "an old condition"},
	} {
		note, ok := f.Waits()
		require.True(t, ok)
		require.Equal(t, want, note.String())
	}
	for _, status := range []ingest.Status{ingest.StatusDownloading, ingest.StatusError, ingest.StatusCompleted, ingest.StatusRejected} {
		_, ok := (ingest.File{Status: status, ServerPaused: true, WaitsFor: "an old condition"}).Waits()
		require.False(t, ok, status)
	}
}
