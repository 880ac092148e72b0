package faults_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/temporalnames"
	"stevedore/internal/test/sandbox"
	"stevedore/internal/test/services"
	"stevedore/workflows"
)

// kills are the transfer modes in which steps are killed. Long ones repeat crash points
// of others and run under `make chaos` only.
var kills = []struct {
	mode   ingest.Mode
	size   int
	change func(*ingest.Server)
	long   bool
}{
	{ingest.ModeMemory, 100_000, nil, false},
	{ingest.ModeStaged, 100_000, sandbox.Staged, false},
	// Verified by a separate step on its host, because of its checksum file, and uploaded
	// in parts.
	{ingest.ModeStaged, 18 << 20, sandbox.Staged, true},
	{ingest.ModeDirect, 18 << 20, sandbox.Direct, false},
}

// TestFault57_KillAtEveryStepBoundary kills the worker process at every crash point;
// another one finishes the file.
func TestFault57_KillAtEveryStepBoundary(t *testing.T) {
	t.Parallel()
	for _, kill := range kills {
		for _, point := range sandbox.CrashPointsOf(kill.mode) {
			t.Run(fmt.Sprintf("%s/%s/%d bytes", kill.mode, strings.ReplaceAll(point, " ", "_"), kill.size), func(t *testing.T) {
				if kill.long {
					chaosOnly(t)
				}
				t.Parallel()
				switch _, of, _ := strings.Cut(point, " "); of {
				case "ledger error", "ledger ready":
					killDuringFailure(t, point, kill.size, kill.change)
				case "ledger vanished":
					killVanished(t, point, kill.size, kill.change)
				default:
					killAt(t, point, kill.size, kill.change)
				}
			})
		}
	}
}

func killAt(t *testing.T, point string, size int, change func(*ingest.Server)) {
	h := sandbox.NewCluster(t)
	moved, removed := strings.HasSuffix(point, "rename"), strings.HasSuffix(point, "remove")
	acme := h.AddServer(t, "acme", func(s *ingest.Server) {
		if change != nil {
			change(s)
		}
		switch {
		case moved:
			s.AfterIngest = ingest.AfterIngest("move:" + filepath.Dir(s.RootPath) + "/done")
		case removed:
			s.AfterIngest = ingest.AfterDelete
		}
	})
	if moved {
		require.NoError(t, os.Mkdir(acme.Path("../done"), 0o755))
	}
	content := sandbox.Random(size)
	acme.Write(t, "a.bin", content)
	first := h.StartProcess(t, sandbox.ProcessOptions{Crash: point})
	scan := h.ScanAsync(t)
	first.RequireCrashed(t)
	h.StartProcess(t, sandbox.ProcessOptions{})
	h.AwaitScans(t, scan())
	file := h.Completed(t, acme.Path("a.bin"))
	h.AwaitIngest(t, file.UUID)
	if moved {
		assert.FileExists(t, acme.Path("../done/a.bin"))
	}
	if moved || removed {
		assert.NoFileExists(t, acme.Path("a.bin"))
		acme.Write(t, "a.bin", content) // the audit compares with the source
	}
	assert.Equal(t, sandbox.Digest(content), file.Hash)
	h.RequireExactlyOnce(t)
}

// killDuringFailure kills the worker while it records that a file with a wrong checksum file has
// failed, or at the retry by an operator.
func killDuringFailure(t *testing.T, point string, size int, change func(*ingest.Server)) {
	h := sandbox.NewCluster(t)
	acme := h.AddServer(t, "acme", change)
	content := sandbox.Random(size)
	acme.Write(t, "a.bin", content)
	acme.Write(t, "a.bin.sha256", []byte(sandbox.Digest([]byte("other"))+"  a.bin\n"))
	first := h.StartProcess(t, sandbox.ProcessOptions{Crash: point})
	scan := h.ScanAsync(t)
	if strings.HasSuffix(point, "error") {
		first.RequireCrashed(t)
		h.StartProcess(t, sandbox.ProcessOptions{})
	}
	failed := h.Failed(t, acme.Path("a.bin"))
	acme.Write(t, "a.bin.sha256", []byte(sandbox.Digest(content)+"  a.bin\n"))
	require.NoError(t, h.Temporal.SignalWorkflow(h.Context(t), temporalnames.IngestWorkflowID(failed.UUID), "", workflows.UpdateRetry,
		workflows.OperatorAction{From: ingest.FirstStep(failed.Mode), Actor: "ann", Reason: "a new checksum"}))
	if strings.HasSuffix(point, "ready") {
		first.RequireCrashed(t)
		h.StartProcess(t, sandbox.ProcessOptions{})
	}
	h.AwaitScans(t, scan())
	h.AwaitIngest(t, h.Completed(t, acme.Path("a.bin")).UUID)
	assert.Equal(t, 1, sandbox.Count(h.Events(t, failed.UUID), ingest.EventOperatorAction), "the operator action is recorded once")
	h.RequireExactlyOnce(t)
}

// killVanished kills the worker while it handles a file that was listed but does not
// exist.
func killVanished(t *testing.T, point string, size int, change func(*ingest.Server)) {
	h := sandbox.NewCluster(t)
	faulty := h.AddFaulty(t, "faulty", change)
	faulty.Write("a.bin", sandbox.Random(size))
	faulty.SetFaults(services.SFTPFaults{Open: func(string) error { return os.ErrNotExist }})
	first := h.StartProcess(t, sandbox.ProcessOptions{Crash: point})
	scan := h.ScanAsync(t)
	first.RequireCrashed(t)
	h.StartProcess(t, sandbox.ProcessOptions{})
	h.AwaitScans(t, scan())
	h.AwaitIngest(t, h.File(t, faulty.Path("a.bin"), func(f ingest.File) bool { return f.Status == ingest.StatusVanished }).UUID)
	h.RequireExactlyOnce(t)
}
