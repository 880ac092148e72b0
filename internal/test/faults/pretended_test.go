package faults_test

import (
	"path"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
	"stevedore/internal/test/services"
)

// TestASourceThatTheServerKeepsIsLeft: the server confirms that it deleted or moved the
// source, or reports that there is none, but still lists it. It is shown as left, under
// every setting, and `--resent deliver` does not ingest it again.
func TestASourceThatTheServerKeepsIsLeft(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		action ingest.AfterIngest
		op     string
		status uint32
	}{
		"deleted":      {ingest.AfterDelete, "REMOVE", services.Pretend},
		"no such file": {ingest.AfterDelete, "REMOVE", services.StatusNoSuchFile},
		"moved":        {"move:/done", "RENAME", services.Pretend},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := sandbox.NewCluster(t)
			tree := h.AddTree(t, "faulty", func(s *ingest.Server) {
				s.Settle, s.ScanInterval, s.AfterIngest, s.DoneMarker = 0, 24*time.Hour, tc.action, "*.done"
			})
			tree.Folder("../done")
			tree.File("a.csv", "12345")
			tree.File("a.csv.done", "")
			tree.SetFaults(services.TreeFaults{Request: func(r services.TreeRequest) uint32 {
				if r.Op == tc.op {
					return tc.status
				}
				return 0
			}})
			h.StartWorker(t)
			h.Scan(t)
			f := h.File(t, tree.Path("a.csv"), func(f ingest.File) bool { return f.SourceLeft != "" })
			require.Equal(t, ingest.StatusCompleted, f.Status)
			assert.Contains(t, f.SourceLeft, "still has the file")
			require.Eventually(t, func() bool { // the workflow ends; listings try again
				return sandbox.Detail(h.Events(t, f.UUID), ingest.EventError, "kind") == string(ingest.KindPermission)
			}, sandbox.Timeout, 100*time.Millisecond)
			h.Edit(t, runsServer(t, h), func(s *ingest.Server) { s.Resent = ingest.ResentDeliver })
			for range 3 {
				h.Scan(t)
			}
			assert.Len(t, h.Files(t), 1)
			assert.Nil(t, sandbox.Detail(h.Events(t, f.UUID), ingest.EventSourceDone, "action"))
			assert.True(t, tree.Has("a.csv.done"), "the companion stays with its file")
		})
	}
}

// TestACompanionThatTheServerKeepsIsShown: the source is gone, only its companion is left.
func TestACompanionThatTheServerKeepsIsShown(t *testing.T) {
	t.Parallel()
	for _, action := range []ingest.AfterIngest{ingest.AfterDelete, "move:/done"} {
		t.Run(string(action), func(t *testing.T) {
			t.Parallel()
			h := sandbox.NewCluster(t)
			tree := h.AddTree(t, "faulty", func(s *ingest.Server) {
				s.Settle, s.ScanInterval, s.AfterIngest, s.DoneMarker = 0, 24*time.Hour, action, "*.done"
			})
			tree.Folder("../done")
			tree.File("a.csv", "12345")
			tree.File("a.csv.done", "")
			tree.SetFaults(services.TreeFaults{Request: func(r services.TreeRequest) uint32 {
				if path.Ext(r.Path) == ".done" && (r.Op == "REMOVE" || r.Op == "RENAME") {
					return services.Pretend
				}
				return 0
			}})
			h.StartWorker(t)
			h.Scan(t)
			f := h.File(t, tree.Path("a.csv"), func(f ingest.File) bool { return f.SourceLeft != "" })
			assert.Contains(t, f.SourceLeft, "companion /in/a.csv.done but still has it")
			assert.False(t, tree.Has("a.csv"))
			assert.False(t, f.SourceGoneAt.IsZero(), "the next file of this path is another delivery")
		})
	}
}
