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

// odds are what a server does instead of opening a file.
var odds = map[string]func(done <-chan struct{}) (cut bool){
	"cuts": func(<-chan struct{}) bool { return true },
	"hangs": func(done <-chan struct{}) bool {
		<-done
		return true
	},
}

// badFiles starts a server with room for four files that does so for files whose
// names begin with "bad".
func badFiles(h *sandbox.Cluster, how func(done <-chan struct{}) bool, change func(*ingest.Server)) *services.FaultySFTP {
	odd := h.AddFaulty("odd", func(s *ingest.Server) {
		s.MaxParallel, s.Settle, s.ScanInterval = 4, 0, 24*time.Hour
		if change != nil {
			change(s)
		}
	})
	odd.SetFaults(services.SFTPFaults{Wait: func(path string, done <-chan struct{}) bool {
		return strings.HasPrefix(path, odd.Path("bad")) && how(done)
	}})
	return odd
}

// writeMany writes files that are expected to arrive.
func writeMany(h *sandbox.Cluster, odd *services.FaultySFTP, name string, n int) (paths []string) {
	for i := range n {
		file := fmt.Sprintf("%s%02d.csv", name, i)
		h.WriteFaulty(odd, "odd", file, sandbox.Random(100+i))
		paths = append(paths, odd.Path(file))
	}
	return paths
}

// TestBadFilesLeaveTheirSlotsToGoodOnes: more files than slots cannot be opened. They
// wait without a slot, visibly, and all good files come meanwhile.
func TestBadFilesLeaveTheirSlotsToGoodOnes(t *testing.T) {
	t.Parallel()
	for name, how := range odds {
		for _, mode := range []ingest.TransferSetting{ingest.TransferAuto, ingest.TransferStaged} {
			t.Run(name+" "+string(mode), func(t *testing.T) {
				t.Parallel()
				h := sandbox.NewCluster(t)
				h.StartWorker()
				odd := badFiles(h, how, func(s *ingest.Server) {
					s.Transfer, s.AnswerTimeout = mode, ingest.Duration(12*time.Second)
				})
				bad, good := writeMany(h, odd, "bad", 6), writeMany(h, odd, "good", 20)
				h.Scan()
				began := time.Now()
				for _, path := range good {
					h.FileWithin(2*time.Minute, path, func(f ingest.File) bool { return f.Status == ingest.StatusCompleted })
				}
				t.Logf("all good files were completed after %s", time.Since(began))
				for _, path := range bad {
					f := h.File(path, func(f ingest.File) bool { return f.Deferrals > 0 })
					assert.NotEmpty(t, f.ErrorMessage)
					assert.False(t, f.NotBefore.IsZero())
					if name == "hangs" {
						assert.EqualValues(t, 1, sandbox.Detail(h.Events(f.UUID), ingest.EventDeferred, "attempts"), "a second try would take as long")
					}
				}
				odd.SetFaults(services.SFTPFaults{})
				for _, path := range bad {
					h.FileWithin(3*time.Minute, path, func(f ingest.File) bool { return f.Status == ingest.StatusCompleted })
				}
				h.RequireExactlyOnce()
			})
		}
	}
}

// TestAServerWhoseFilesAreAllBadIsNotStormed: however many files fail at once, log-ins
// are few, and each file has its turn.
func TestAServerWhoseFilesAreAllBadIsNotStormed(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	h.StartWorker()
	odd := badFiles(h, odds["cuts"], nil)
	bad := writeMany(h, odd, "bad", 16)
	h.Scan()
	began, before := time.Now(), odd.Logins()
	for _, path := range bad {
		h.FileWithin(5*time.Minute, path, func(f ingest.File) bool { return f.Deferrals > 2 })
	}
	took, logins := time.Since(began), odd.Logins()-before
	t.Logf("%d log-ins in %s", logins, took)
	require.Less(t, float64(logins), 60*max(took.Minutes(), 1))
	odd.SetFaults(services.SFTPFaults{})
	for _, path := range bad {
		h.FileWithin(5*time.Minute, path, func(f ingest.File) bool { return f.Status == ingest.StatusCompleted })
	}
	h.RequireExactlyOnce()
}
