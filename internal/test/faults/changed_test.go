package faults_test

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
	"stevedore/internal/test/services"
)

// whileReading changes the file on the server when its download begins.
type whileReading struct {
	activities.Sources
	once *sync.Once
	do   func()
}

func (s whileReading) Open(ctx context.Context, server ingest.Server) (activities.Source, error) {
	source, err := s.Sources.Open(ctx, server)
	return readingSource{source, s}, err
}

type readingSource struct {
	activities.Source
	s whileReading
}

func (r readingSource) OpenFile(ctx context.Context, path string) (activities.RemoteFile, error) {
	file, err := r.Source.OpenFile(ctx, path)
	if err == nil {
		r.s.once.Do(r.s.do)
	}
	return file, err
}

// changedWhileRead ingests a file that changes when it is opened, and returns its rows.
func changedWhileRead(t *testing.T, change func(acme *services.SSHD)) (h *sandbox.Cluster, rows []ingest.File) {
	t.Helper()
	h = sandbox.NewCluster(t)
	acme := h.AddServer(t, "acme", nil)
	acme.Write(t, "a.bin", sandbox.Random(400_000))
	h.StartWorkerWith(t, h.Cfg, func(d activities.Deps) activities.Deps {
		d.Sources = whileReading{d.Sources, &sync.Once{}, func() { change(acme) }}
		return d
	})
	h.ScanAndWait(t)
	h.ScanAndWait(t)
	for _, f := range h.Files(t) {
		h.AwaitIngest(t, f.UUID)
	}
	return h, h.Files(t)
}

func TestFault10_GrowsWhileRead(t *testing.T) {
	t.Parallel()
	h, rows := changedWhileRead(t, func(acme *services.SSHD) { acme.Write(t, "a.bin", sandbox.Random(500_000)) })
	require.Len(t, rows, 2)
	assert.Equal(t, ingest.StatusSuperseded, rows[0].Status, "a partial file must not be ingested")
	assert.Equal(t, ingest.StatusCompleted, rows[1].Status)
	h.RequireExactlyOnce(t)
}

func TestFault11_TruncatedWhileRead(t *testing.T) {
	t.Parallel()
	h, rows := changedWhileRead(t, func(acme *services.SSHD) { acme.Write(t, "a.bin", sandbox.Random(1000)) })
	require.Len(t, rows, 2)
	assert.Equal(t, ingest.StatusSuperseded, rows[0].Status)
	assert.EqualValues(t, 1000, rows[1].Size)
	h.RequireExactlyOnce(t)
}

// TestFault12_ReplacedInTheSameSecond is a documented limit: no attribute of the server
// reveals the change. The ledger describes the bytes that were fetched.
func TestFault12_ReplacedInTheSameSecond(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	h.StartWorker(t)
	acme := h.AddServer(t, "acme", nil)
	at := time.Now().Add(-time.Hour).Truncate(time.Second)
	write := func(content []byte) {
		acme.Write(t, "a.bin", content)
		require.NoError(t, os.Chtimes(acme.Path("a.bin"), at, at))
	}
	first := sandbox.Random(1000)
	write(first)
	h.ScanAndWait(t)
	file := h.Completed(t, acme.Path("a.bin"))
	h.AwaitIngest(t, file.UUID)
	write([]byte(strings.Repeat("x", 1000)))
	h.ScanAndWait(t)
	require.Len(t, h.Files(t), 1)
	assert.Equal(t, sandbox.Digest(first), h.S3.Objects(t)[0].SHA256)
	assert.Equal(t, sandbox.Digest(first), file.Hash)
	write(first) // the audit compares with the source
	h.RequireExactlyOnce(t)
}

// goneSources removes a file before it is opened.
type goneSources struct {
	activities.Sources
	remove func()
}

func (g goneSources) Open(ctx context.Context, server ingest.Server) (activities.Source, error) {
	source, err := g.Sources.Open(ctx, server)
	return goneSource{source, g.remove}, err
}

type goneSource struct {
	activities.Source
	remove func()
}

func (g goneSource) OpenFile(ctx context.Context, path string) (activities.RemoteFile, error) {
	g.remove()
	return g.Source.OpenFile(ctx, path)
}

// TestFault13_GoneAfterTheListing: the files vanish before their first byte is read.
func TestFault13_GoneAfterTheListing(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]func(acme *services.SSHD) error{
		"deleted": func(acme *services.SSHD) error { return os.Remove(acme.Path("a.bin")) },
		"renamed": func(acme *services.SSHD) error { return os.Rename(acme.Path("a.bin"), acme.Path("b.bin")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := sandbox.NewCluster(t)
			acme := h.AddServer(t, "acme", nil)
			acme.Write(t, "a.bin", sandbox.Random(400_000))
			acme.Write(t, "other.bin", sandbox.Random(400_001))
			remove := sync.OnceFunc(func() { assert.NoError(t, away(acme)) })
			h.StartWorkerWith(t, h.Cfg, func(d activities.Deps) activities.Deps {
				d.Sources = goneSources{d.Sources, remove}
				return d
			})
			h.ScanAndWait(t)
			gone := h.File(t, acme.Path("a.bin"), func(f ingest.File) bool { return f.Status == ingest.StatusVanished })
			assert.NotEmpty(t, gone.ErrorMessage)
			assert.Empty(t, gone.ObjectKey)
			h.ScanAndWait(t) // a new name is a new file
			for _, f := range h.Files(t) {
				h.AwaitIngest(t, f.UUID)
			}
			h.RequireExactlyOnce(t)
		})
	}
}

func TestFault14_RenamedFromATemporaryName(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	h.StartWorker(t)
	acme := h.AddServer(t, "acme", nil)
	acme.Write(t, "a.csv.part", sandbox.Random(500))
	h.ScanAndWait(t)
	assert.Empty(t, h.Files(t))
	require.NoError(t, os.Rename(acme.Path("a.csv.part"), acme.Path("a.csv")))
	h.ScanAndWait(t)
	require.Len(t, h.Files(t), 1)
	h.AwaitIngest(t, h.Completed(t, acme.Path("a.csv")).UUID)
	h.RequireExactlyOnce(t)
}

func TestFault15_SameNameNewContent(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	h.StartWorker(t)
	acme := h.AddServer(t, "acme", nil)
	for _, size := range []int{100, 101, 99} {
		acme.Write(t, "a.csv", sandbox.Random(size))
		h.ScanAndWait(t)
	}
	require.Len(t, h.Files(t), 3)
	for _, f := range h.Files(t) {
		assert.Equal(t, ingest.StatusCompleted, f.Status)
	}
	assert.Len(t, h.S3.Objects(t), 3, "earlier objects are kept")
	for _, f := range h.Files(t) {
		h.AwaitIngest(t, f.UUID)
	}
	h.RequireExactlyOnce(t)
}
