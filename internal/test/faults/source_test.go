package faults_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/credentials"
	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
	"stevedore/internal/test/services"
	"stevedore/workflows"
)

func TestFault01_ShortReads(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	h.StartWorker(t)
	faulty := h.AddFaulty(t, "faulty", nil)
	faulty.SetFaults(services.SFTPFaults{Read: func(content, buf []byte, off int64) (int, error) {
		return services.CorrectRead(content, buf[:min(len(buf), 1000)], off)
	}})
	h.WriteFaulty(faulty, "faulty", "a.bin", sandbox.Random(300_000))
	h.ScanAndWait(t)
	assert.Greater(t, faulty.Reads(), 300, "no read was short")
	h.AwaitIngest(t, h.Completed(t, faulty.Path("a.bin")).UUID)
	h.RequireExactlyOnce(t)
}

func TestFault02_EmptyDataReplies(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	h.StartWorker(t)
	faulty := h.AddFaulty(t, "faulty", nil)
	faulty.SetFaults(services.SFTPFaults{Read: func([]byte, []byte, int64) (int, error) { return 0, nil }})
	h.WriteFaulty(faulty, "faulty", "a.bin", sandbox.Random(300_000))
	scan := h.Scan(t)
	waiting := h.FileWithin(t, 2*sandbox.Timeout, faulty.Path("a.bin"), waitsFor("empty DATA reply"))
	assert.Equal(t, ingest.KindTransient, waiting.ErrorKind)
	faulty.SetFaults(services.SFTPFaults{})
	h.AwaitScans(t, scan)
	h.AwaitIngest(t, waiting.UUID)
	h.RequireExactlyOnce(t)
}

// midway starts a slow download of a file of 24 MiB and returns in its middle. The last
// third passes the proxy only after the fault, when wait is called.
func midway(t *testing.T, change func(*ingest.Server)) (h *sandbox.Cluster, acme *services.SSHD, proxy *sandbox.Proxy, wait func() ingest.File) {
	t.Helper()
	h = sandbox.NewCluster(t)
	h.StartWorker(t)
	acme = h.AddServer(t, "acme", func(s *ingest.Server) {
		proxy = sandbox.NewProxy(t, s.Host, s.Port)
		s.Port, s.Transfer = proxy.Port, ingest.TransferStaged
		if change != nil {
			change(s)
		}
	})
	proxy.AddToxic(t, "bandwidth", map[string]int{"rate": 2 << 10})
	release := proxy.HoldAfter(t, 16<<20)
	acme.Write(t, "large.bin", sandbox.Random(24<<20))
	scan := h.Scan(t)
	awaitStaged(t, h.Cfg.Staging.Dir, 8<<20)
	return h, acme, proxy, func() ingest.File {
		release()
		h.AwaitScans(t, scan)
		file := h.Completed(t, acme.Path("large.bin"))
		h.AwaitIngest(t, file.UUID)
		h.RequireExactlyOnce(t)
		return file
	}
}

// requireResumed requires that the download was resumed near the position of its
// interruption.
func requireResumed(t *testing.T, h *sandbox.Cluster, file ingest.File, atLeast float64) {
	t.Helper()
	offset, _ := sandbox.LastDetail(h.Events(t, file.UUID), ingest.EventDownloadResumed, "offset").(float64)
	assert.GreaterOrEqual(t, offset, atLeast)
}

// keepaliveBudget bounds the detection of a silent server: one interval until the first
// keepalive, and three without response, of 15 s each. The rest is for slow machines.
const keepaliveBudget = 75 * time.Second

func TestFault03_ServerStoppedMidFile(t *testing.T) {
	chaosOnly(t)
	t.Parallel()
	h, acme, proxy, wait := midway(t, nil)
	acme.Freeze()
	began := time.Now()
	waiting := h.FileWithin(t, 2*sandbox.Timeout, acme.Path("large.bin"), func(f ingest.File) bool { return f.ErrorMessage != "" })
	noticed := time.Since(began)
	assert.LessOrEqual(t, noticed, keepaliveBudget)
	assert.Equal(t, ingest.KindTransient, waiting.ErrorKind)
	acme.Thaw()
	proxy.RemoveToxic(t, "bandwidth")
	began = time.Now()
	requireResumed(t, h, wait(), 4<<20)
	figure(t, "fault 3: a frozen server was detected after %s; all files completed %s after it resumed", seconds(noticed), seconds(time.Since(began)))
}

// TestFault04_BlackHoleInTheHandshake also checks that a worker releases its resources.
func TestFault04_BlackHoleInTheHandshake(t *testing.T) {
	chaosOnly(t)
	t.Parallel()
	h := sandbox.NewCluster(t)
	worker := h.StartProcess(t, sandbox.ProcessOptions{})
	acme, proxy := slowServer(t, h, "acme", 1<<20)
	acme.Write(t, "before.csv", sandbox.Random(101))
	h.ScanAndWait(t)
	h.AwaitIngest(t, h.Completed(t, acme.Path("before.csv")).UUID)
	connections, goroutines := proxy.Connections(), worker.Goroutines(t, sshLibrary)
	require.Positive(t, goroutines, "the connection is reused")

	proxy.CutConnections(t) // existing connections must not be used
	proxy.AddToxic(t, "timeout", map[string]int{"timeout": 0})
	acme.Write(t, "a.csv", sandbox.Random(100))
	began := time.Now()
	h.ScanAndWait(t)
	waited := time.Since(began)
	server, err := h.Store.ServerByName(h.Context(t), "acme")
	require.NoError(t, err)
	assert.NotEmpty(t, server.LastError)
	assert.Equal(t, ingest.ServerOK, server.State, "the failure must be transient")
	sandbox.Eventually(t, func() bool { return worker.Goroutines(t, sshLibrary) == 0 }, sandbox.Timeout, 50*tick, "goroutines are left in the handshake")
	proxy.RemoveToxic(t, "timeout")
	sandbox.Eventually(t, func() bool { return proxy.Connections() == 0 }, sandbox.Timeout, tick, "connections are left")

	h.ScanAndWait(t)
	h.AwaitIngest(t, h.Completed(t, acme.Path("a.csv")).UUID)
	assert.LessOrEqual(t, proxy.Connections(), connections)
	assert.LessOrEqual(t, worker.Goroutines(t, sshLibrary), goroutines)
	figure(t, "fault 4: the connection to a silent server was closed after %s", seconds(waited))
	h.RequireExactlyOnce(t)
}

// sshLibrary is in the stack of every goroutine that serves an SSH connection.
const sshLibrary = "golang.org/x/crypto/ssh"

func TestFault05_NotAnSSHServer(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	h.StartWorker(t)
	host, port := split(t, h.S3.Endpoint) // speaks HTTP
	acme := services.StartSSHD(t, services.SSHDOptions{})
	server := h.Adopt(t, acme, "acme", func(s *ingest.Server) { s.Host, s.Port = host, port })
	acme.Write(t, "a.csv", sandbox.Random(100))
	h.ScanAndWait(t)
	server, err := h.Store.Server(h.Context(t), server.UUID)
	require.NoError(t, err)
	assert.Contains(t, server.LastError, "SSH")
	assert.NotContains(t, server.LastError, "\n")

	h.Edit(t, server.UUID, func(s *ingest.Server) { s.Host, s.Port = acme.Host, acme.Port })
	h.ScanAndWait(t)
	h.AwaitIngest(t, h.Completed(t, acme.Path("a.csv")).UUID)
	h.RequireExactlyOnce(t)
}

func TestFault06_ConnectionResetAtHalf(t *testing.T) {
	t.Parallel()
	t.Run("FIN", func(t *testing.T) {
		t.Parallel()
		h, _, proxy, wait := midway(t, nil)
		proxy.CutConnections(t)
		requireResumed(t, h, wait(), 4<<20)
	})
	t.Run("RST", func(t *testing.T) {
		t.Parallel()
		var resetter *sandbox.Resetter
		h, _, _, wait := midway(t, func(s *ingest.Server) {
			resetter = sandbox.NewResetter(t, s.Host, s.Port)
			s.Port = resetter.Port
		})
		awaitStaged(t, h.Cfg.Staging.Dir, 12<<20)
		resetter.Reset()
		file := wait()
		requireResumed(t, h, file, 8<<20)
		requireRetryRecorded(t, h, file.UUID, "connection")
	})
}

func TestFault07_CutAfterEveryMiB(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	h.StartWorker(t)
	acme, proxy := slowServer(t, h, "acme", 1<<20)
	proxy.AddToxic(t, "limit_data", map[string]int{"bytes": 1 << 20})
	acme.Write(t, "a.bin", sandbox.Random(5<<19))
	scan := h.Scan(t)
	file := h.Completed(t, acme.Path("a.bin"))
	offset, _ := sandbox.LastDetail(h.Events(t, file.UUID), ingest.EventDownloadResumed, "offset").(float64)
	assert.Greater(t, offset, float64(1<<20), "each attempt must read further")
	proxy.RemoveToxic(t, "limit_data")
	h.AwaitScans(t, scan)
	h.AwaitIngest(t, file.UUID)
	h.RequireExactlyOnce(t)
}

func TestFault08_SlicedPacketsAndLatency(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	h.StartWorker(t)
	acme, proxy := slowServer(t, h, "acme", 1<<20)
	proxy.AddToxic(t, "latency", map[string]int{"latency": 300})
	proxy.AddToxic(t, "slicer", map[string]int{"average_size": 400, "size_variation": 200, "delay": 5})
	acme.Write(t, "a.bin", sandbox.Random(300_000))
	h.ScanAndWait(t)
	h.AwaitIngest(t, h.Completed(t, acme.Path("a.bin")).UUID)
	h.RequireExactlyOnce(t)
}

func TestFault09_ServerProcessKilled(t *testing.T) {
	t.Parallel()
	h, acme, _, wait := midway(t, nil)
	require.NotEmpty(t, acme.Sessions())
	acme.KillSessions()
	requireResumed(t, h, wait(), 4<<20)
}

func TestFault16_EmptyFile(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	h.StartWorker(t)
	acme := h.AddServer(t, "acme", nil)
	acme.Write(t, "empty.flag", nil)
	h.ScanAndWait(t)
	h.AwaitIngest(t, h.Completed(t, acme.Path("empty.flag")).UUID)
	h.RequireExactlyOnce(t)
}

// TestFault20_FewSessions: sshd allows one session per connection and one login at a
// time.
func TestFault20_FewSessions(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	h.StartWorker(t)
	sshd := services.StartSSHD(t, services.SSHDOptions{Config: []string{"MaxSessions 1", "MaxStartups 1"}})
	h.Adopt(t, sshd, "acme", nil)
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		sshd.Write(t, name, sandbox.Random(10_000+int(name[0])))
	}
	h.ScanAndWait(t)
	for _, f := range h.Files(t) {
		h.AwaitIngest(t, h.Completed(t, f.RemotePath).UUID)
	}
	h.RequireExactlyOnce(t)
}

func TestFault21_WrongPassword(t *testing.T) {
	t.Parallel()
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		wrongPassword(t, hooks{})
	})
	t.Run("refused while the database is unavailable", func(t *testing.T) {
		t.Parallel()
		away := errors.New("the database is unavailable")
		var asked atomic.Int32
		wrongPassword(t, hooks{finishScan: func() error {
			if asked.Add(1) <= 2 {
				return away
			}
			return nil
		}})
		assert.Greater(t, asked.Load(), int32(2))
	})
}

// wrongPassword requires one login with the wrong password, and no other until it is
// corrected.
func wrongPassword(t *testing.T, fns hooks) {
	t.Helper()
	h := sandbox.NewCluster(t)
	h.StartWorkerWith(t, h.Cfg, fns.wrap)
	sshd := services.StartSSHD(t, services.SSHDOptions{Password: "right"})
	server := h.Adopt(t, sshd, "acme", func(s *ingest.Server) {
		s.PasswordEncrypted = h.Seal(t, *s, credentials.FieldPassword, []byte("wrong"))
	})
	sshd.Write(t, "a.csv", sandbox.Random(100))
	h.ScanAndWait(t)
	now, err := h.Store.Server(h.Context(t), server.UUID)
	require.NoError(t, err)
	assert.Equal(t, ingest.ServerSuspended, now.State)
	assert.Contains(t, now.LastError, "refused the credentials")
	sshd.AwaitLog(t, "Failed password")
	assert.Equal(t, 1, strings.Count(sshd.Log(t), "Failed password"), "too many logins, which lock accounts: %s", sshd.Log(t))

	setPassword(t, h, server.UUID, h.Seal(t, server, credentials.FieldPassword, []byte("right")))
	h.ScanAndWait(t)
	h.AwaitIngest(t, h.Completed(t, sshd.Path("a.csv")).UUID)
	h.RequireExactlyOnce(t)
}

func TestFault22_PermissionDeniedOnOneFile(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	h.StartWorker(t)
	faulty := h.AddFaulty(t, "faulty", func(s *ingest.Server) { s.MaxParallel = 1 })
	faulty.SetFaults(services.SFTPFaults{Open: func(path string) error {
		if path == faulty.Path("closed.csv") {
			return sftp.ErrSSHFxPermissionDenied
		}
		return nil
	}})
	h.WriteFaulty(faulty, "faulty", "closed.csv", sandbox.Random(10))
	h.WriteFaulty(faulty, "faulty", "open.csv", sandbox.Random(20))
	h.ScanAndWait(t)
	failed := h.Failed(t, faulty.Path("closed.csv"))
	assert.Equal(t, ingest.KindPermission, failed.ErrorKind)
	h.AwaitIngest(t, h.Completed(t, faulty.Path("open.csv")).UUID)

	faulty.SetFaults(services.SFTPFaults{})
	require.NoError(t, h.SendUpdate(t, failed.UUID, workflows.UpdateRetry, workflows.OperatorAction{Actor: "ann", Reason: "the partner opened it"}))
	h.AwaitIngest(t, h.Completed(t, faulty.Path("closed.csv")).UUID)
	h.RequireExactlyOnce(t)
}

func TestFault24_Rekeying(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	h.StartWorker(t)
	sshd := services.StartSSHD(t, services.SSHDOptions{Config: []string{"RekeyLimit 1M"}})
	h.Adopt(t, sshd, "acme", nil)
	sshd.Write(t, "a.bin", sandbox.Random(12<<20))
	h.ScanAndWait(t)
	h.AwaitIngest(t, h.Completed(t, sshd.Path("a.bin")).UUID)
	assert.Greater(t, strings.Count(sshd.Log(t), "rekey"), 3)
	h.RequireExactlyOnce(t)
}
