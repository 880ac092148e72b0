package faults_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
	"stevedore/internal/test/services"
)

// openFaults are the faults of a server on opening a file.
var openFaults = map[string]func(done <-chan struct{}) (cut bool){
	"cuts": func(<-chan struct{}) bool { return true },
	"hangs": func(done <-chan struct{}) bool {
		<-done
		return true
	},
}

// badFiles starts a server with four slots that injects the fault for files whose names
// begin with "bad".
func badFiles(t *testing.T, h *sandbox.Cluster, how func(done <-chan struct{}) bool, change func(*ingest.Server)) *services.FaultySFTP {
	faulty := h.AddFaulty(t, "faulty", func(s *ingest.Server) {
		s.MaxParallel, s.Settle, s.ScanInterval = 4, 0, 24*time.Hour
		if change != nil {
			change(s)
		}
	})
	faulty.SetFaults(services.SFTPFaults{Wait: func(path string, done <-chan struct{}) bool {
		return strings.HasPrefix(path, faulty.Path("bad")) && how(done)
	}})
	return faulty
}

// writeMany adds files that are expected to arrive.
func writeMany(h *sandbox.Cluster, faulty *services.FaultySFTP, name string, n int) (paths []string) {
	for i := range n {
		file := fmt.Sprintf("%s%02d.csv", name, i)
		h.WriteFaulty(faulty, "faulty", file, sandbox.Random(100+i))
		paths = append(paths, faulty.Path(file))
	}
	return paths
}

// TestBadFilesLeaveTheirSlotsToGoodOnes: the server has more unreadable files than slots.
// They are deferred without a slot, and all good files are ingested meanwhile.
func TestBadFilesLeaveTheirSlotsToGoodOnes(t *testing.T) {
	t.Parallel()
	for name, how := range openFaults {
		for _, mode := range []ingest.TransferSetting{ingest.TransferAuto, ingest.TransferStaged} {
			t.Run(name+" "+string(mode), func(t *testing.T) {
				t.Parallel()
				h := sandbox.NewCluster(t)
				h.StartWorker(t)
				faulty := badFiles(t, h, how, func(s *ingest.Server) {
					s.Transfer, s.AnswerTimeout = mode, ingest.Duration(12*time.Second)
				})
				bad, good := writeMany(h, faulty, "bad", 6), writeMany(h, faulty, "good", 20)
				h.Scan(t)
				began := time.Now()
				for _, path := range good {
					h.FileWithin(t, 2*time.Minute, path, func(f ingest.File) bool { return f.Status == ingest.StatusCompleted })
				}
				t.Logf("all good files were completed after %s", time.Since(began))
				for _, path := range bad {
					f := h.File(t, path, func(f ingest.File) bool { return f.Deferrals > 0 })
					assert.NotEmpty(t, f.ErrorMessage)
					assert.False(t, f.NotBefore.IsZero())
					if name == "hangs" {
						assert.EqualValues(t, 1, sandbox.Detail(h.Events(t, f.UUID), ingest.EventDeferred, "attempts"), "a second attempt would take as long")
					}
				}
				faulty.SetFaults(services.SFTPFaults{})
				for _, path := range bad {
					h.FileWithin(t, 3*time.Minute, path, func(f ingest.File) bool { return f.Status == ingest.StatusCompleted })
				}
				h.RequireExactlyOnce(t)
			})
		}
	}
}

// TestAServerWithOnlyBadFilesGetsFewLogins: however many files fail concurrently, there
// are few logins, and every file gets its attempts.
func TestAServerWithOnlyBadFilesGetsFewLogins(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	h.StartWorker(t)
	faulty := badFiles(t, h, openFaults["cuts"], nil)
	bad := writeMany(h, faulty, "bad", 16)
	h.Scan(t)
	began, before := time.Now(), faulty.Logins()
	for _, path := range bad {
		h.FileWithin(t, 5*time.Minute, path, func(f ingest.File) bool { return f.Deferrals > 2 })
	}
	took, logins := time.Since(began), faulty.Logins()-before
	t.Logf("%d logins in %s", logins, took)
	require.Less(t, float64(logins), 60*max(took.Minutes(), 1))
	faulty.SetFaults(services.SFTPFaults{})
	for _, path := range bad {
		h.FileWithin(t, 5*time.Minute, path, func(f ingest.File) bool { return f.Status == ingest.StatusCompleted })
	}
	h.RequireExactlyOnce(t)
}
