package faults_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/rig"
	"stevedore/internal/testenv"
	"stevedore/internal/vault"
)

func TestFault01_ShortReads(t *testing.T) {
	t.Parallel()
	h := rig.NewHarbour(t)
	h.StartWorker()
	odd := h.AddOdd("odd", nil)
	odd.Be(testenv.OddHooks{Read: func(content, buf []byte, off int64) (int, error) {
		return testenv.HonestRead(content, buf[:min(len(buf), 1000)], off)
	}})
	h.WriteOdd(odd, "odd", "a.bin", rig.Random(300_000))
	h.ScanAndWait()
	assert.Greater(t, odd.Reads(), 300, "each read brought less than asked")
	h.AwaitIngest(h.Completed(odd.Path("a.bin")).UUID)
	h.RequireExactlyOnce()
}

func TestFault02_DataWithoutBytesForEver(t *testing.T) {
	long(t)
	t.Parallel()
	h := rig.NewHarbour(t)
	h.StartWorker()
	odd := h.AddOdd("odd", nil)
	odd.Be(testenv.OddHooks{Read: func([]byte, []byte, int64) (int, error) { return 0, nil }})
	h.WriteOdd(odd, "odd", "a.bin", rig.Random(300_000))
	scan := h.Scan()
	waiting := h.FileWithin(2*rig.Patience, odd.Path("a.bin"), func(f ingest.File) bool { return f.ErrorMessage != "" })
	assert.Equal(t, ingest.KindTransient, waiting.ErrorKind)
	assert.Contains(t, waiting.ErrorMessage, "no bytes came")
	odd.Be(testenv.OddHooks{})
	h.AwaitScans(scan)
	h.AwaitIngest(waiting.UUID)
	h.RequireExactlyOnce()
}

// midway starts a slow download of a file of 24 MiB and returns in the middle
// of it.
func midway(t *testing.T, change func(*ingest.Server)) (h *rig.Harbour, acme *testenv.SSHD, line *rig.Line, wait func() ingest.File) {
	t.Helper()
	h = rig.NewHarbour(t)
	h.StartWorker()
	acme = h.AddServer("acme", func(s *ingest.Server) {
		line = rig.NewLine(t, s.Host, s.Port)
		s.Port = line.Port
		if change != nil {
			change(s)
		}
	})
	line.Spoil("bandwidth", map[string]int{"rate": 4 << 10})
	acme.Write("large.bin", rig.Random(24<<20))
	scan := h.Scan()
	awaitStaged(t, h.Cfg.Staging.Dir, 8<<20)
	return h, acme, line, func() ingest.File {
		h.AwaitScans(scan)
		file := h.Completed(acme.Path("large.bin"))
		h.AwaitIngest(file.UUID)
		h.RequireExactlyOnce()
		return file
	}
}

// requireResumed checks that the download went on from about where it stood.
func requireResumed(t *testing.T, h *rig.Harbour, file ingest.File, atLeast float64) {
	t.Helper()
	offset, _ := rig.Detail(h.Events(file.UUID), ingest.EventDownloadResumed, "offset").(float64)
	assert.GreaterOrEqual(t, offset, atLeast)
}

func TestFault03_ServerStoppedMidFile(t *testing.T) {
	long(t)
	t.Parallel()
	h, acme, line, wait := midway(t, nil)
	for _, pid := range acme.Sessions() {
		require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
		defer func() { _ = syscall.Kill(pid, syscall.SIGCONT) }()
	}
	waiting := h.FileWithin(2*rig.Patience, acme.Path("large.bin"), func(f ingest.File) bool { return f.ErrorMessage != "" })
	assert.Equal(t, ingest.KindTransient, waiting.ErrorKind)
	line.Mend("bandwidth")
	requireResumed(t, h, wait(), 4<<20)
}

func TestFault04_BlackHoleInTheHandshake(t *testing.T) {
	long(t)
	t.Parallel()
	h := rig.NewHarbour(t)
	h.StartWorker()
	acme, line := slowServer(h, "acme", 1<<20)
	line.Spoil("timeout", map[string]int{"timeout": 0})
	acme.Write("a.csv", rig.Random(100))
	began := time.Now()
	h.ScanAndWait()
	t.Logf("given up after %s", time.Since(began).Round(time.Second))
	server, err := h.Store.ServerByName(h.Ctx, "acme")
	require.NoError(t, err)
	assert.NotEmpty(t, server.LastError)
	assert.Equal(t, ingest.ServerOK, server.State, "it may be better next time")
	line.Mend("timeout")
	h.ScanAndWait()
	h.AwaitIngest(h.Completed(acme.Path("a.csv")).UUID)
	h.RequireExactlyOnce()
}

func TestFault05_NotAnSSHServer(t *testing.T) {
	t.Parallel()
	h := rig.NewHarbour(t)
	h.StartWorker()
	host, port := split(t, h.S3.Endpoint) // speaks HTTP
	acme := testenv.StartSSHD(t, testenv.SSHDOptions{})
	h.Register(acme, "acme", func(s *ingest.Server) { s.Host, s.Port = host, port })
	h.ScanAndWait()
	server, err := h.Store.ServerByName(h.Ctx, "acme")
	require.NoError(t, err)
	assert.Contains(t, server.LastError, "SSH")
	assert.NotContains(t, server.LastError, "\n")
}

func TestFault06_ConnectionResetAtHalf(t *testing.T) {
	t.Parallel()
	h, _, line, wait := midway(t, nil)
	line.Mend("bandwidth")
	line.Blink()
	requireResumed(t, h, wait(), 4<<20)
}

func TestFault07_CutAfterEveryMiB(t *testing.T) {
	t.Parallel()
	h := rig.NewHarbour(t)
	h.StartWorker()
	acme, line := slowServer(h, "acme", 1<<20)
	line.Spoil("limit_data", map[string]int{"bytes": 1 << 20})
	acme.Write("a.bin", rig.Random(5<<19))
	scan := h.Scan()
	file := h.Completed(acme.Path("a.bin"))
	offset, _ := rig.Detail(h.Events(file.UUID), ingest.EventDownloadResumed, "offset").(float64)
	assert.Greater(t, offset, float64(1<<20), "every attempt got further")
	line.Mend("limit_data")
	h.AwaitScans(scan)
	h.AwaitIngest(file.UUID)
	h.RequireExactlyOnce()
}

func TestFault08_SlicedPacketsAndLatency(t *testing.T) {
	t.Parallel()
	h := rig.NewHarbour(t)
	h.StartWorker()
	acme, line := slowServer(h, "acme", 1<<20)
	line.Spoil("latency", map[string]int{"latency": 300})
	line.Spoil("slicer", map[string]int{"average_size": 400, "size_variation": 200, "delay": 5})
	acme.Write("a.bin", rig.Random(300_000))
	h.ScanAndWait()
	h.AwaitIngest(h.Completed(acme.Path("a.bin")).UUID)
	h.RequireExactlyOnce()
}

func TestFault09_ServerProcessKilled(t *testing.T) {
	t.Parallel()
	h, acme, line, wait := midway(t, nil)
	require.NotEmpty(t, acme.Sessions())
	acme.KillSessions()
	line.Mend("bandwidth")
	requireResumed(t, h, wait(), 4<<20)
}

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

// changedWhileRead ingests a file that changes when it is opened, and returns
// its rows.
func changedWhileRead(t *testing.T, change func(acme *testenv.SSHD)) (h *rig.Harbour, rows []ingest.File) {
	t.Helper()
	h = rig.NewHarbour(t)
	acme := h.AddServer("acme", nil)
	acme.Write("a.bin", rig.Random(400_000))
	h.StartWorkerWith(h.Cfg, func(d activities.Deps) activities.Deps {
		d.Sources = whileReading{d.Sources, &sync.Once{}, func() { change(acme) }}
		return d
	})
	h.ScanAndWait()
	h.ScanAndWait()
	for _, f := range h.Files() {
		h.AwaitIngest(f.UUID)
	}
	return h, h.Files()
}

func TestFault10_GrowsWhileRead(t *testing.T) {
	t.Parallel()
	h, rows := changedWhileRead(t, func(acme *testenv.SSHD) { acme.Write("a.bin", rig.Random(500_000)) })
	require.Len(t, rows, 2)
	assert.Equal(t, ingest.StatusSuperseded, rows[0].Status, "half a file is not taken")
	assert.Equal(t, ingest.StatusCompleted, rows[1].Status)
	h.RequireExactlyOnce()
}

func TestFault11_TruncatedWhileRead(t *testing.T) {
	t.Parallel()
	h, rows := changedWhileRead(t, func(acme *testenv.SSHD) { acme.Write("a.bin", rig.Random(1000)) })
	require.Len(t, rows, 2)
	assert.Equal(t, ingest.StatusSuperseded, rows[0].Status)
	assert.EqualValues(t, 1000, rows[1].Size)
	h.RequireExactlyOnce()
}

// TestFault12_ReplacedInTheSameSecond is the documented limit: nothing on the
// server shows it. What the ledger says is true of the bytes that were taken.
func TestFault12_ReplacedInTheSameSecond(t *testing.T) {
	t.Parallel()
	h := rig.NewHarbour(t)
	h.StartWorker()
	acme := h.AddServer("acme", nil)
	at := time.Now().Add(-time.Hour).Truncate(time.Second)
	write := func(content []byte) {
		acme.Write("a.bin", content)
		require.NoError(t, os.Chtimes(acme.Path("a.bin"), at, at))
	}
	first := rig.Random(1000)
	write(first)
	h.ScanAndWait()
	file := h.Completed(acme.Path("a.bin"))
	h.AwaitIngest(file.UUID)
	write([]byte(strings.Repeat("x", 1000)))
	h.ScanAndWait()
	require.Len(t, h.Files(), 1)
	assert.Equal(t, rig.Digest(first), h.S3.Objects(t)[0].SHA256)
	assert.Equal(t, rig.Digest(first), file.Hash)
}

func TestFault13_GoneAfterTheListing(t *testing.T) {
	t.Parallel()
	_, rows := changedWhileRead(t, func(acme *testenv.SSHD) { _ = os.Remove(acme.Path("a.bin")) })
	require.Len(t, rows, 1)
	assert.Equal(t, ingest.StatusVanished, rows[0].Status)
	assert.NotEmpty(t, rows[0].ErrorMessage)
}

func TestFault14_RenamedFromATemporaryName(t *testing.T) {
	t.Parallel()
	h := rig.NewHarbour(t)
	h.StartWorker()
	acme := h.AddServer("acme", nil)
	acme.Write("a.csv.part", rig.Random(500))
	h.ScanAndWait()
	assert.Empty(t, h.Files())
	require.NoError(t, os.Rename(acme.Path("a.csv.part"), acme.Path("a.csv")))
	h.ScanAndWait()
	require.Len(t, h.Files(), 1)
	h.AwaitIngest(h.Completed(acme.Path("a.csv")).UUID)
	h.RequireExactlyOnce()
}

func TestFault15_SameNameNewContent(t *testing.T) {
	t.Parallel()
	h := rig.NewHarbour(t)
	h.StartWorker()
	acme := h.AddServer("acme", nil)
	for _, size := range []int{100, 101, 99} {
		acme.Write("a.csv", rig.Random(size))
		h.ScanAndWait()
	}
	require.Len(t, h.Files(), 3)
	for _, f := range h.Files() {
		assert.Equal(t, ingest.StatusCompleted, f.Status)
	}
	assert.Len(t, h.S3.Objects(t), 3, "what was taken is kept")
}

func TestFault16_EmptyFile(t *testing.T) {
	t.Parallel()
	h := rig.NewHarbour(t)
	h.StartWorker()
	acme := h.AddServer("acme", nil)
	acme.Write("empty.flag", nil)
	h.ScanAndWait()
	h.AwaitIngest(h.Completed(acme.Path("empty.flag")).UUID)
	h.RequireExactlyOnce()
}

// TestFault20_FewSessions: one session a connection, one log-in at a time.
func TestFault20_FewSessions(t *testing.T) {
	t.Parallel()
	h := rig.NewHarbour(t)
	h.StartWorker()
	sshd := testenv.StartSSHD(t, testenv.SSHDOptions{Config: []string{"MaxSessions 1", "MaxStartups 1"}})
	h.Adopt(sshd, "acme", nil)
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		sshd.Write(name, rig.Random(10_000+int(name[0])))
	}
	h.ScanAndWait()
	for _, f := range h.Files() {
		h.AwaitIngest(h.Completed(f.RemotePath).UUID)
	}
	h.RequireExactlyOnce()
}

func TestFault21_WrongPassword(t *testing.T) {
	t.Parallel()
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		wrongPassword(t, moments{})
	})
	t.Run("refused while the database is away", func(t *testing.T) {
		t.Parallel()
		away := errors.New("the database is away")
		var asked atomic.Int32
		wrongPassword(t, moments{finishScan: func() error {
			if asked.Add(1) <= 2 {
				return away
			}
			return nil
		}})
		assert.Greater(t, asked.Load(), int32(2))
	})
}

// wrongPassword: one log-in, then none until the password is right.
func wrongPassword(t *testing.T, m moments) {
	t.Helper()
	h := rig.NewHarbour(t)
	h.StartWorkerWith(h.Cfg, m.wrap)
	sshd := testenv.StartSSHD(t, testenv.SSHDOptions{Password: "right"})
	server := h.Adopt(sshd, "acme", func(s *ingest.Server) {
		s.PasswordEncrypted = h.Seal(s.UUID, vault.FieldPassword, []byte("wrong"))
	})
	sshd.Write("a.csv", rig.Random(100))
	h.ScanAndWait()
	now, err := h.Store.Server(h.Ctx, server.UUID)
	require.NoError(t, err)
	assert.Equal(t, ingest.ServerSuspended, now.State)
	assert.Contains(t, now.LastError, "refused the credentials")
	assert.Equal(t, 1, strings.Count(sshd.Log(), "Failed password"), "accounts get locked: %s", sshd.Log())

	require.NoError(t, h.Store.SetCredentials(h.Ctx, server.UUID, h.Seal(server.UUID, vault.FieldPassword, []byte("right")), nil))
	h.ScanAndWait()
	h.AwaitIngest(h.Completed(sshd.Path("a.csv")).UUID)
	h.RequireExactlyOnce()
}

func TestFault22_PermissionDeniedOnOneFile(t *testing.T) {
	t.Parallel()
	h := rig.NewHarbour(t)
	h.StartWorker()
	odd := h.AddOdd("odd", func(s *ingest.Server) { s.MaxParallel = 1 })
	odd.Be(testenv.OddHooks{Open: func(path string) error {
		if path == odd.Path("closed.csv") {
			return sftp.ErrSSHFxPermissionDenied
		}
		return nil
	}})
	odd.Write("closed.csv", rig.Random(10))
	h.WriteOdd(odd, "odd", "open.csv", rig.Random(20))
	h.ScanAndWait()
	parked := h.Parked(odd.Path("closed.csv"))
	assert.Equal(t, ingest.KindPermission, parked.ErrorKind)
	h.AwaitIngest(h.Completed(odd.Path("open.csv")).UUID)
}

func TestFault24_Rekeying(t *testing.T) {
	t.Parallel()
	h := rig.NewHarbour(t)
	h.StartWorker()
	sshd := testenv.StartSSHD(t, testenv.SSHDOptions{Config: []string{"RekeyLimit 1M"}})
	h.Adopt(sshd, "acme", nil)
	sshd.Write("a.bin", rig.Random(12<<20))
	h.ScanAndWait()
	h.AwaitIngest(h.Completed(sshd.Path("a.bin")).UUID)
	assert.Greater(t, strings.Count(sshd.Log(), "rekey"), 3)
	h.RequireExactlyOnce()
}
