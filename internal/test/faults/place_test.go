package faults_test

import (
	"testing"
	"time"

	"github.com/pkg/sftp"
	"github.com/stretchr/testify/assert"

	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
	"stevedore/internal/test/services"
)

// TestAFileThatCannotBeFetchedHoldsUpNoOther: a server that stutters at one
// file for ever, with room for one at a time. The file gives its place to the
// next after a round of attempts, and is taken once the server is mended, though
// that is not due to be scanned for a day.
func TestAFileThatCannotBeFetchedHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	long(t)
	h := sandbox.NewCluster(t)
	h.StartWorker()
	odd := h.AddFaulty("odd", func(s *ingest.Server) { s.MaxParallel, s.ScanInterval = 1, 24*time.Hour })
	odd.SetFaults(services.SFTPFaults{Open: func(path string) error {
		if path == odd.Path("a.csv") {
			return sftp.ErrSSHFxFailure
		}
		return nil
	}})
	h.WriteFaulty(odd, "odd", "a.csv", sandbox.Random(10))
	h.WriteFaulty(odd, "odd", "b.csv", sandbox.Random(20))
	h.Scan()
	const aRound = 8 * time.Minute
	h.FileWithin(aRound, odd.Path("b.csv"), func(f ingest.File) bool { return f.Status == ingest.StatusCompleted })
	put := h.File(odd.Path("a.csv"), func(f ingest.File) bool { return f.Status == ingest.StatusReady })
	assert.False(t, put.NotBefore.IsZero())
	assert.NotEmpty(t, put.ErrorMessage)

	odd.SetFaults(services.SFTPFaults{})
	h.FileWithin(aRound, odd.Path("a.csv"), func(f ingest.File) bool { return f.Status == ingest.StatusCompleted })
	h.RequireExactlyOnce()
}
