package operations

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

func TestOverviewAddsUp(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 1, 12, 30, 0, 0, time.UTC)
	b := setup(
		ingest.Server{UUID: "u1", Name: "a", Active: true, ScanInterval: time.Minute, LastScanAt: at.Add(-time.Minute), ReadAt: at},
		ingest.Server{UUID: "u2", Name: "b", Active: true, ScanInterval: time.Minute, LastScanAt: at.Add(-time.Hour), ReadAt: at},
	)
	hours := func(n int64) []ingest.HourStats {
		h := ingest.NoHours(at)
		h[23].Completed, h[23].Bytes, h[22].Failures = n, 10*n, n
		return h
	}
	waiting := &ingest.File{UUID: "f"}
	b.ledger.stats = ingest.Stats{
		At: at, OldestInError: waiting,
		Files: map[string]map[ingest.Status]int64{
			"u1":      {ingest.StatusCompleted: 3, ingest.StatusUploading: 1, ingest.StatusUploaded: 1, ingest.StatusReady: 9},
			"removed": {ingest.StatusCompleted: 4},
		},
		Hours: map[string][]ingest.HourStats{"u1": hours(1), "removed": hours(2)},
	}
	o, err := b.Overview(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 7, o.Files[ingest.StatusCompleted])
	require.EqualValues(t, 11, o.InFlight)
	require.Equal(t, hours(3), o.Hours)
	require.Same(t, waiting, o.OldestInError)
	require.Nil(t, o.OldestInFlight)
	require.Len(t, o.Servers, 2)
	require.EqualValues(t, 11, o.Servers[0].InFlight)
	require.Equal(t, hours(1), o.Servers[0].Hours)
	require.Equal(t, []bool{false, true}, []bool{o.Servers[0].Server.Late, o.Servers[1].Server.Late})
	require.Equal(t, ingest.NoHours(at), o.Servers[1].Hours, "a server without any has the same hours")
	require.NotNil(t, o.Servers[1].Files)
}
