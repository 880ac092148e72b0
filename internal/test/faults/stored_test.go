package faults_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/temporalnames"
	"stevedore/internal/test/sandbox"
	"stevedore/internal/test/services"
	"stevedore/workflows"
)

// storing lists the ways of creating an object, each with its last event before the
// ledger records it. The quick ones, which leave no trace in the ledger, are killed in
// every run, the others under `make chaos`.
var storing = []struct {
	name   string
	size   int
	change func(*ingest.Server)
	made   string
	quick  bool
}{
	{"memory", 100_000, sandbox.InMemory, "after put", true},
	{"staged", 100_000, sandbox.Staged, "after put", false},
	{"staged parts", 18 << 20, sandbox.Staged, "after put", false},
	{"direct", 6 << 20, sandbox.Direct, "after put", true},
	{"direct parts", 18 << 20, sandbox.Direct, "after complete upload", false},
}

// losses are the changes of the source before the next attempt.
var losses = map[string]func(t *testing.T, acme *services.SSHD){
	"removed":  func(t *testing.T, acme *services.SSHD) { require.NoError(t, os.Remove(acme.Path("a.bin"))) },
	"replaced": func(t *testing.T, acme *services.SSHD) { acme.Write(t, "a.bin", []byte("another version")) },
}

// TestFault72_SourceGoneOnceStored: the worker is killed, or cannot write to the ledger,
// between the object and its record. The next attempt adopts the object in any state of
// the source.
func TestFault72_SourceGoneOnceStored(t *testing.T) {
	t.Parallel()
	for _, s := range storing {
		for loss, remove := range losses {
			t.Run(fmt.Sprintf("%s/%s/worker killed", s.name, loss), func(t *testing.T) {
				if !s.quick || loss != "removed" {
					chaosOnly(t)
				}
				t.Parallel()
				h, acme, content := storedOnce(t, s.size, s.change)
				first := h.StartProcess(t, sandbox.ProcessOptions{Crash: s.made})
				scan := h.ScanAsync(t)
				first.RequireCrashed(t)
				remove(t, acme)
				h.StartProcess(t, sandbox.ProcessOptions{})
				h.AwaitScans(t, scan())
				requireAdopted(t, h, acme, content)
			})
			t.Run(fmt.Sprintf("%s/%s/commit fails", s.name, loss), func(t *testing.T) {
				if !s.quick && loss != "removed" {
					chaosOnly(t)
				}
				t.Parallel()
				h, acme, content := storedOnce(t, s.size, s.change)
				h.StartWorkerWith(t, h.Cfg, func(d activities.Deps) activities.Deps {
					d.Ledger = &unrecorded{Ledger: d.Ledger, remove: func() { remove(t, acme) }}
					return d
				})
				h.ScanAndWait(t)
				requireAdopted(t, h, acme, content)
			})
		}
	}
}

// unrecorded is a ledger that fails to record the first object.
type unrecorded struct {
	activities.Ledger
	failed atomic.Bool
	remove func()
}

func (u *unrecorded) Apply(ctx context.Context, change ingest.Change) error {
	if change.To == ingest.StatusUploaded && u.failed.CompareAndSwap(false, true) {
		u.remove()
		return ingest.Errorf(ingest.KindTransient, "the database is unavailable")
	}
	return u.Ledger.Apply(ctx, change)
}

func storedOnce(t *testing.T, size int, change func(*ingest.Server)) (*sandbox.Cluster, *services.SSHD, []byte) {
	h := sandbox.NewCluster(t)
	acme := h.AddServer(t, "acme", change)
	content := sandbox.Random(size)
	acme.Write(t, "a.bin", content)
	return h, acme, content
}

func requireAdopted(t *testing.T, h *sandbox.Cluster, acme *services.SSHD, content []byte) {
	t.Helper()
	file := h.File(t, acme.Path("a.bin"), func(f ingest.File) bool { return f.Status.Terminal() || f.Status == ingest.StatusError })
	require.Equal(t, ingest.StatusCompleted, file.Status, file.ErrorMessage)
	h.AwaitIngest(t, file.UUID)
	assert.Equal(t, sandbox.Digest(content), file.Hash)
	acme.Write(t, "a.bin", content) // the audit compares with the source
	h.RequireExactlyOnce(t)
}

// TestFault72_AForeignObjectIsNotAdopted: before the file is stored, the key holds other
// content of the same size with its own hash. Every attempt is a conflict while the
// source still has the file.
func TestFault72_AForeignObjectIsNotAdopted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		size   int
		change func(*ingest.Server)
	}{"memory": {100_000, sandbox.InMemory}, "direct": {6 << 20, sandbox.Direct}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, acme, _ := storedOnce(t, c.size, c.change)
			h.StartWorkerWith(t, h.Cfg, func(d activities.Deps) activities.Deps {
				d.Objects = &usurped{Objects: d.Objects, content: sandbox.Random(c.size + 1)[1:]}
				return d
			})
			h.Scan(t)
			file := h.Failed(t, acme.Path("a.bin"))
			require.Equal(t, ingest.KindConflict, file.ErrorKind, file.ErrorMessage)
			require.NoError(t, h.Temporal.SignalWorkflow(h.Context(t), temporalnames.IngestWorkflowID(file.UUID), "", workflows.UpdateRetry,
				workflows.OperatorAction{From: ingest.FirstStep(file.Mode), Actor: "ann", Reason: "once more"}))
			sandbox.Eventually(t, func() bool { return sandbox.Count(h.Events(t, file.UUID), ingest.EventError) == 2 }, sandbox.Timeout, tick, "the second try does not fail")
			assert.Equal(t, ingest.KindConflict, h.Failed(t, acme.Path("a.bin")).ErrorKind)
		})
	}
}

// usurped is a store in which another client creates the key just before a file is stored
// by one request.
type usurped struct {
	activities.Objects
	content []byte
	once    sync.Once
}

func (u *usurped) PutBytes(ctx context.Context, req ingest.PutBytes) (ingest.Object, error) {
	var err error
	u.once.Do(func() {
		theirs := req
		theirs.Body, theirs.SHA256 = u.content, sandbox.Digest(u.content)
		_, err = u.Objects.PutBytes(ctx, theirs)
	})
	if err != nil {
		return ingest.Object{}, err
	}
	return u.Objects.PutBytes(ctx, req)
}
