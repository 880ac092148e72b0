package faults_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/rig"
)

// quickPoints are killed at in every run; the others by `make chaos`. They are
// the ones at which something stands outside that the ledger does not know of.
var quickPoints = []string{
	"after fetch", "before ledger downloaded", "after put", "after announce", "after ledger completed", "after rename",
}

// TestFault57_KillAtEveryStepBoundary kills the worker process at every point
// between two steps, and lets another one finish.
func TestFault57_KillAtEveryStepBoundary(t *testing.T) {
	t.Parallel()
	for _, point := range rig.CrashPoints {
		t.Run(strings.ReplaceAll(point, " ", "_"), func(t *testing.T) {
			if !slices.Contains(quickPoints, point) {
				long(t)
			}
			t.Parallel()
			killAt(t, point)
		})
	}
}

func killAt(t *testing.T, point string) {
	h := rig.NewHarbour(t)
	acme := h.AddServer("acme", func(s *ingest.Server) {
		if strings.HasSuffix(point, "rename") {
			s.AfterIngest = ingest.AfterIngest("move:" + filepath.Dir(s.RootPath) + "/done")
		}
	})
	if strings.HasSuffix(point, "rename") {
		require.NoError(t, os.Mkdir(acme.Path("../done"), 0o755))
	}
	content := rig.Random(100_000)
	acme.Write("a.bin", content)
	first := h.StartProcess(rig.ProcessOptions{Crash: point})
	scan := h.ScanAsync()
	first.RequireCrashed()
	h.StartProcess(rig.ProcessOptions{})
	h.AwaitScans(scan())
	file := h.Completed(acme.Path("a.bin"))
	h.AwaitIngest(file.UUID)
	if strings.HasSuffix(point, "rename") {
		assert.NoFileExists(t, acme.Path("a.bin"))
		assert.FileExists(t, acme.Path("../done/a.bin"))
		acme.Write("a.bin", content) // for the oracle, which compares with the source
	}
	assert.Equal(t, rig.Digest(content), file.Hash)
	h.RequireExactlyOnce()
}
