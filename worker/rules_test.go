package worker_test

import (
	"context"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
)

func TestAFileWaitsForItsDoneMarker(t *testing.T) {
	t.Parallel()
	h := newCluster(t)
	h.StartWorker(t)
	acme := h.AddServer(t, "acme", func(s *ingest.Server) { s.DoneMarker = "*.done" })
	acme.Write(t, "a.csv", sandbox.Random(100))
	acme.Write(t, "b.csv", sandbox.Random(200))
	acme.Write(t, "b.csv.done", nil)
	scan := h.Scan(t)
	h.Completed(t, acme.Path("b.csv"))
	waiting := h.File(t, acme.Path("a.csv"), func(f ingest.File) bool { return f.WaitsFor != "" })
	assert.Equal(t, ingest.StatusDiscovered, waiting.Status)
	assert.Contains(t, waiting.WaitsFor, "a.csv.done")

	acme.Write(t, "a.csv.done", nil)
	h.AwaitScans(t, scan)
	h.Completed(t, acme.Path("a.csv"))
	assert.Len(t, h.Files(t), 2, "markers are not ingested")
	require.NoError(t, os.Remove(acme.Path("a.csv.done")))
	require.NoError(t, os.Remove(acme.Path("b.csv.done")))
	h.RequireExactlyOnce(t)
}

func TestAFileWaitsForItsChecksumFileUntilTheTimeout(t *testing.T) {
	t.Parallel()
	h := newCluster(t)
	h.StartWorker(t)
	waiting := func(wait time.Duration) func(*ingest.Server) {
		return func(s *ingest.Server) { s.SidecarWait = wait }
	}
	patient := h.AddServer(t, "patient", waiting(time.Hour))
	hasty := h.AddServer(t, "hasty", waiting(2*time.Second))
	patient.Write(t, "a.csv", sandbox.Random(100))
	hasty.Write(t, "b.csv", sandbox.Random(200))
	scan := h.Scan(t)
	b := h.Completed(t, hasty.Path("b.csv"))
	assert.Equal(t, "transfer", sandbox.Detail(h.Events(t, b.UUID), ingest.EventVerified, "source"))
	h.File(t, patient.Path("a.csv"), func(f ingest.File) bool { return f.Status == ingest.StatusDiscovered })

	patient.Write(t, "a.csv.sha256", []byte(sandbox.Digest(sandbox.Random(100))+"  a.csv\n"))
	a := h.Completed(t, patient.Path("a.csv"))
	assert.Equal(t, "a.csv.sha256", sandbox.Detail(h.Events(t, a.UUID), ingest.EventVerified, "source"))
	h.AwaitScans(t, scan)
	h.RequireExactlyOnce(t)
}

func TestOnCollision(t *testing.T) {
	t.Parallel()
	h := newCluster(t)
	h.StartWorker(t)
	moved := func(collision ingest.Collision) func(*ingest.Server) {
		return func(s *ingest.Server) {
			s.RootPath += "/in"
			s.AfterIngest, s.OnCollision = ingest.AfterIngest("move:"+filepath.Dir(s.RootPath)+"/done"), collision
		}
	}
	overwrite := h.AddServer(t, "overwrite", moved(ingest.CollisionOverwrite))
	keep := h.AddServer(t, "keep", moved(ingest.CollisionKeep))
	content := sandbox.Random(100)
	overwrite.Write(t, "in/a.csv", content)
	keep.Write(t, "in/a.csv", content)
	overwrite.Write(t, "done/a.csv", []byte("old"))
	keep.Write(t, "done/a.csv", []byte("old"))
	h.ScanAndWait(t)
	h.AwaitIngest(t, h.Completed(t, overwrite.Path("in/a.csv")).UUID)
	kept := h.Completed(t, keep.Path("in/a.csv"))
	h.AwaitIngest(t, kept.UUID)

	assert.NoFileExists(t, overwrite.Path("in/a.csv"))
	assert.Equal(t, content, read(t, overwrite.Path("done/a.csv")))
	assert.Equal(t, content, read(t, keep.Path("in/a.csv")))
	assert.Equal(t, "old", string(read(t, keep.Path("done/a.csv"))))
	assert.Contains(t, sandbox.Detail(h.Events(t, kept.UUID), ingest.EventSourceDone, "found"), "the source was not moved")
	h.ScanAndWait(t)
	assert.Len(t, h.Files(t), 2, "the remaining source is not ingested again")
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	return content
}

// TestAFailedAfterIngestActionRepeatsNothing: the file stays completed, and the
// failure is recorded as an event.
func TestAFailedAfterIngestActionRepeatsNothing(t *testing.T) {
	t.Parallel()
	h := newCluster(t)
	h.StartWorker(t)
	acme := h.AddServer(t, "acme", func(s *ingest.Server) { s.AfterIngest = "move:/proc/nowhere" })
	acme.Write(t, "a.csv", sandbox.Random(100))
	h.ScanAndWait(t)
	file := h.Completed(t, acme.Path("a.csv"))
	h.File(t, acme.Path("a.csv"), func(f ingest.File) bool {
		return sandbox.Detail(h.Events(t, f.UUID), ingest.EventError, "step") != nil ||
			sandbox.Detail(h.Events(t, f.UUID), ingest.EventRetryScheduled, "step") != nil
	})
	assert.FileExists(t, acme.Path("a.csv"))
	h.ScanAndWait(t)
	assert.Len(t, h.Files(t), 1)
	now, err := h.Store.File(h.Context(t), file.UUID)
	require.NoError(t, err)
	assert.Equal(t, ingest.StatusCompleted, now.Status)
	h.RequireExactlyOnce(t)
}

// onceSource removes a file when it is opened, as read-once servers do. The open
// handle still reads it.
type onceSource struct {
	activities.Source
	opened func(path string)
}

func (s onceSource) OpenFile(ctx context.Context, path string) (activities.RemoteFile, error) {
	file, err := s.Source.OpenFile(ctx, path)
	if err == nil {
		s.opened(path)
	}
	return file, err
}

type onceSources struct {
	activities.Sources
	opened func(path string)
}

func (s onceSources) Open(ctx context.Context, server ingest.Server) (activities.Source, error) {
	source, err := s.Sources.Open(ctx, server)
	return onceSource{source, s.opened}, err
}

func TestFault23_AReadOnceServerIsOpenedOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		readOnce bool
		ends     ingest.Status
	}{
		"read once":     {true, ingest.StatusCompleted},
		"not read once": {false, ingest.StatusVanished},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newCluster(t)
			acme := h.AddServer(t, "acme", func(s *ingest.Server) { s.ReadOnce = c.readOnce })
			content := sandbox.Random(300_000)
			acme.Write(t, "a.bin", content)
			var opens atomic.Int32
			h.StartWorkerWith(t, h.Cfg, func(d activities.Deps) activities.Deps {
				d.Sources = onceSources{d.Sources, func(path string) {
					opens.Add(1)
					assert.NoError(t, os.Remove(path))
				}}
				return d
			})
			h.ScanAndWait(t)
			file := h.File(t, acme.Path("a.bin"), func(f ingest.File) bool { return f.Status == c.ends })
			h.AwaitIngest(t, file.UUID)
			assert.EqualValues(t, 1, opens.Load())
			if c.readOnce {
				acme.Write(t, "a.bin", content) // the exactly-once check compares with the source
			}
			h.RequireExactlyOnce(t)
		})
	}
}
