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

// TestAFileThatCannotBeFetchedDoesNotBlockOthers: the server fails one file repeatedly, with
// a concurrency limit of one. After a round of attempts the file is deferred and releases
// its slot to the next file. It is fetched once the server is fixed, although the next
// scan is due only in a day.
func TestAFileThatCannotBeFetchedDoesNotBlockOthers(t *testing.T) {
	t.Parallel()
	chaosOnly(t)
	h := sandbox.NewCluster(t)
	h.StartWorker(t)
	faulty := h.AddFaulty(t, "faulty", func(s *ingest.Server) { s.MaxParallel, s.ScanInterval = 1, 24*time.Hour })
	faulty.SetFaults(services.SFTPFaults{Open: func(path string) error {
		if path == faulty.Path("a.csv") {
			return sftp.ErrSSHFxFailure
		}
		return nil
	}})
	h.WriteFaulty(faulty, "faulty", "a.csv", sandbox.Random(10))
	h.WriteFaulty(faulty, "faulty", "b.csv", sandbox.Random(20))
	h.Scan(t)
	const roundLimit = 8 * time.Minute
	h.FileWithin(t, roundLimit, faulty.Path("b.csv"), func(f ingest.File) bool { return f.Status == ingest.StatusCompleted })
	put := h.File(t, faulty.Path("a.csv"), func(f ingest.File) bool { return f.Status == ingest.StatusReady })
	assert.False(t, put.NotBefore.IsZero())
	assert.NotEmpty(t, put.ErrorMessage)

	faulty.SetFaults(services.SFTPFaults{})
	h.FileWithin(t, roundLimit, faulty.Path("a.csv"), func(f ingest.File) bool { return f.Status == ingest.StatusCompleted })
	h.RequireExactlyOnce(t)
}
