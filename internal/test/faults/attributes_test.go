package faults_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
	"stevedore/internal/test/services"
)

// TestOmittedAttributes: a file is ingested once if some of the server's replies omit its
// size or time, or show another time.
func TestOmittedAttributes(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	h.StartWorker(t)
	const unlisted = "lstat-stat-time" // the time of the listing is superseded by none
	trees := map[string]*services.FaultyTree{}
	for name, faults := range map[string]services.TreeFaults{
		"lstat-size":      {NoSizesIn: []string{"LSTAT"}},
		"lstat-stat-size": {NoSizesIn: []string{"LSTAT", "STAT"}},
		"fstat-size":      {NoSizesIn: []string{"FSTAT"}},
		"fstat-time":      {NoTimesIn: []string{"FSTAT"}},
		"fstat-shifted":   {ShiftIn: map[string]time.Duration{"FSTAT": 2 * time.Hour}},
		"lstat-time":      {NoTimesIn: []string{"LSTAT"}},
		unlisted:          {NoTimesIn: []string{"LSTAT", "STAT"}},
	} {
		tree := h.AddTree(t, name, func(s *ingest.Server) {
			s.Settle, s.ScanInterval, s.RootPath = time.Second, 24*time.Hour, "/in/"+name
		})
		tree.File(name+"/a.csv", "12345")
		tree.SetFaults(faults)
		trees[name] = tree
	}
	completed := func(name string) (found bool) {
		for _, f := range h.Files(t) {
			if f.RemotePath == "/in/"+name+"/a.csv" {
				require.True(t, f.Status != ingest.StatusSuperseded || name == unlisted, "%s: %s", name, f.ErrorMessage)
				found = found || f.Status == ingest.StatusCompleted && assert.EqualValues(t, 5, f.Size)
			}
		}
		return found
	}
	for name, tree := range trees {
		require.Eventually(t, func() bool {
			h.Scan(t)
			return completed(name)
		}, sandbox.Timeout, time.Second, name)
		h.Scan(t)
		assert.Len(t, tree.Requests("OPEN"), 1, name)
	}
}

// TestATimeChangedByReading: the open file shows that reading has changed the time, so that
// the path still shows the ingested file.
func TestATimeChangedByReading(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	h.StartWorker(t)
	tree := h.AddTree(t, "faulty", func(s *ingest.Server) {
		s.Settle, s.ScanInterval, s.Identity, s.AfterIngest = 0, 24*time.Hour, ingest.IdentitySize, ingest.AfterDelete
	})
	tree.File("a.csv", "12345")
	tree.SetFaults(services.TreeFaults{Request: func(r services.TreeRequest) uint32 {
		if r.Op == "READ" {
			tree.Touch("a.csv", time.Now().Add(-time.Minute))
		}
		return 0
	}})
	h.Scan(t)
	f := h.File(t, tree.Path("a.csv"), func(f ingest.File) bool { return f.Status == ingest.StatusCompleted })
	require.Eventually(t, func() bool {
		return sandbox.Detail(h.Events(t, f.UUID), ingest.EventSourceDone, "action") != nil
	}, sandbox.Timeout, 100*time.Millisecond)
	assert.False(t, tree.Has("a.csv"))
}
