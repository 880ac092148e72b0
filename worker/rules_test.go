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
	h.StartWorker()
	acme := h.AddServer("acme", func(s *ingest.Server) { s.DoneMarker = "*.done" })
	acme.Write("a.csv", sandbox.Random(100))
	acme.Write("b.csv", sandbox.Random(200))
	acme.Write("b.csv.done", nil)
	scan := h.Scan()
	h.Completed(acme.Path("b.csv"))
	waiting := h.File(acme.Path("a.csv"), func(f ingest.File) bool { return f.WaitsFor != "" })
	assert.Equal(t, ingest.StatusDiscovered, waiting.Status)
	assert.Contains(t, waiting.WaitsFor, "a.csv.done")

	acme.Write("a.csv.done", nil)
	h.AwaitScans(scan)
	h.Completed(acme.Path("a.csv"))
	assert.Len(t, h.Files(), 2, "markers are not ingested")
	require.NoError(t, os.Remove(acme.Path("a.csv.done")))
	require.NoError(t, os.Remove(acme.Path("b.csv.done")))
	h.RequireExactlyOnce()
}

func TestAFileWaitsForItsChecksumFileUntilTheTimeout(t *testing.T) {
	t.Parallel()
	h := newCluster(t)
	h.StartWorker()
	waiting := func(wait time.Duration) func(*ingest.Server) {
		return func(s *ingest.Server) { s.SidecarWait = wait }
	}
	patient := h.AddServer("patient", waiting(time.Hour))
	hasty := h.AddServer("hasty", waiting(2*time.Second))
	patient.Write("a.csv", sandbox.Random(100))
	hasty.Write("b.csv", sandbox.Random(200))
	scan := h.Scan()
	b := h.Completed(hasty.Path("b.csv"))
	assert.Equal(t, "transfer", sandbox.Detail(h.Events(b.UUID), ingest.EventVerified, "source"))
	h.File(patient.Path("a.csv"), func(f ingest.File) bool { return f.Status == ingest.StatusDiscovered })

	patient.Write("a.csv.sha256", []byte(sandbox.Digest(sandbox.Random(100))+"  a.csv\n"))
	a := h.Completed(patient.Path("a.csv"))
	assert.Equal(t, "a.csv.sha256", sandbox.Detail(h.Events(a.UUID), ingest.EventVerified, "source"))
	h.AwaitScans(scan)
	h.RequireExactlyOnce()
}

func TestOnCollision(t *testing.T) {
	t.Parallel()
	h := newCluster(t)
	h.StartWorker()
	moved := func(collision ingest.Collision) func(*ingest.Server) {
		return func(s *ingest.Server) {
			s.RootPath += "/in"
			s.AfterIngest, s.OnCollision = ingest.AfterIngest("move:"+filepath.Dir(s.RootPath)+"/done"), collision
		}
	}
	overwrite := h.AddServer("overwrite", moved(ingest.CollisionOverwrite))
	keep := h.AddServer("keep", moved(ingest.CollisionKeep))
	content := sandbox.Random(100)
	overwrite.Write("in/a.csv", content)
	keep.Write("in/a.csv", content)
	overwrite.Write("done/a.csv", []byte("old"))
	keep.Write("done/a.csv", []byte("old"))
	h.ScanAndWait()
	h.AwaitIngest(h.Completed(overwrite.Path("in/a.csv")).UUID)
	kept := h.Completed(keep.Path("in/a.csv"))
	h.AwaitIngest(kept.UUID)

	assert.NoFileExists(t, overwrite.Path("in/a.csv"))
	assert.Equal(t, content, read(t, overwrite.Path("done/a.csv")))
	assert.Equal(t, content, read(t, keep.Path("in/a.csv")))
	assert.Equal(t, "old", string(read(t, keep.Path("done/a.csv"))))
	assert.Contains(t, sandbox.Detail(h.Events(kept.UUID), ingest.EventSourceDone, "found"), "the source was not moved")
	h.ScanAndWait()
	assert.Len(t, h.Files(), 2, "the remaining source is not ingested again")
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
	h.StartWorker()
	acme := h.AddServer("acme", func(s *ingest.Server) { s.AfterIngest = "move:/proc/nowhere" })
	acme.Write("a.csv", sandbox.Random(100))
	h.ScanAndWait()
	file := h.Completed(acme.Path("a.csv"))
	h.File(acme.Path("a.csv"), func(f ingest.File) bool {
		return sandbox.Detail(h.Events(f.UUID), ingest.EventError, "step") != nil ||
			sandbox.Detail(h.Events(f.UUID), ingest.EventRetryScheduled, "step") != nil
	})
	assert.FileExists(t, acme.Path("a.csv"))
	h.ScanAndWait()
	assert.Len(t, h.Files(), 1)
	now, err := h.Store.File(h.Ctx, file.UUID)
	require.NoError(t, err)
	assert.Equal(t, ingest.StatusCompleted, now.Status)
	h.RequireExactlyOnce()
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
			acme := h.AddServer("acme", func(s *ingest.Server) { s.ReadOnce = c.readOnce })
			content := sandbox.Random(300_000)
			acme.Write("a.bin", content)
			var opens atomic.Int32
			h.StartWorkerWith(h.Cfg, func(d activities.Deps) activities.Deps {
				d.Sources = onceSources{d.Sources, func(path string) {
					opens.Add(1)
					assert.NoError(t, os.Remove(path))
				}}
				return d
			})
			h.ScanAndWait()
			file := h.File(acme.Path("a.bin"), func(f ingest.File) bool { return f.Status == c.ends })
			h.AwaitIngest(file.UUID)
			assert.EqualValues(t, 1, opens.Load())
			if c.readOnce {
				acme.Write("a.bin", content) // the exactly-once check compares with the source
			}
			h.RequireExactlyOnce()
		})
	}
}
