package faults_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
	"stevedore/internal/test/services"
)

// requireNothingElse requires that only the good file is in the store, the queue and
// staging: rejected files were never opened.
func requireNothingElse(t *testing.T, h *sandbox.Cluster, good string) {
	t.Helper()
	file := h.Completed(t, good)
	h.AwaitIngest(t, file.UUID)
	for _, f := range h.Files(t) {
		if f.UUID != file.UUID {
			assert.Equal(t, ingest.StatusRejected, f.Status, "%q", f.RemotePath)
		}
	}
	h.RequireExactlyOnce(t)
}

func TestFault25_NamesThatLeadElsewhere(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	h.StartWorker(t)
	faulty := h.AddFaulty(t, "faulty", nil)
	faulty.SetFaults(services.SFTPFaults{Names: []string{"..", ".", "x/..", "/", "", "../../etc/passwd", "a/b", "twice", "twice"}})
	h.WriteFaulty(faulty, "faulty", "twice", sandbox.Random(1)) // listed once more, with another time
	h.WriteFaulty(faulty, "faulty", "good.csv", sandbox.Random(100))
	h.ScanAndWait(t)
	file := h.Completed(t, faulty.Path("good.csv"))
	h.AwaitIngest(t, file.UUID)
	rejected := 0
	for _, f := range h.Files(t) {
		if f.Status == ingest.StatusRejected {
			rejected++
			assert.Empty(t, f.ObjectKey)
		}
	}
	assert.GreaterOrEqual(t, rejected, 4)
	for _, o := range h.S3.Objects(t) {
		assert.True(t, strings.HasPrefix(o.Key, "files/"), o.Key)
		assert.NotContains(t, o.Key, "..")
	}
	h.AwaitIngest(t, h.Completed(t, faulty.Path("twice")).UUID)
	h.RequireExactlyOnce(t)
}

func TestFault26_NamesThatAreNotText(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	h.StartWorker(t)
	acme := h.AddServer(t, "acme", nil)
	names := []string{"line\nbreak.csv", "\x1b[31mred\x1b[0m.csv", "not utf-8 \xff\xfe.bin", "\u202egpj.exe", "=cmd|' /C calc'!A0", "<script>alert(1)</script>"}
	for i, name := range names {
		acme.Write(t, strings.ReplaceAll(name, "/", "_"), sandbox.Random(100+i))
	}
	h.ScanAndWait(t)
	require.Len(t, h.Files(t), len(names))
	for _, f := range h.Files(t) {
		h.AwaitIngest(t, h.Completed(t, f.RemotePath).UUID)
		assert.FileExists(t, f.RemotePath, "the staged bytes are kept")
		for _, r := range ingest.DisplayPath(f.RemotePath) {
			assert.NotContains(t, "\n\x1b\u202e", string(r))
		}
	}
	h.RequireExactlyOnce(t)
}

func TestFault27_LongAndNormalizedNames(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	h.StartWorker(t)
	acme := h.AddServer(t, "acme", nil)
	deep := strings.Repeat(strings.Repeat("d", 200)+"/", 12) // a path of some 2,400 bytes
	names := []string{strings.Repeat("n", 250) + ".csv", deep + "f.csv", "\u00e9.csv", "e\u0301.csv"}
	for i, name := range names {
		acme.Write(t, name, sandbox.Random(100+i))
	}
	h.ScanAndWait(t)
	require.Len(t, h.Files(t), len(names), "composed and decomposed accents are two files")
	for _, f := range h.Files(t) {
		h.AwaitIngest(t, h.Completed(t, f.RemotePath).UUID)
	}
	h.RequireExactlyOnce(t)
}

func TestFault28_EntriesThatAreNotFiles(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	h.StartWorker(t)
	acme := h.AddServer(t, "acme", nil)
	require.NoError(t, os.Symlink(acme.Root, acme.Path("loop")))
	require.NoError(t, os.Symlink("/etc/passwd", acme.Path("outside")))
	require.NoError(t, os.Symlink("nowhere", acme.Path("dangling")))
	require.NoError(t, syscall.Mkfifo(acme.Path("pipe"), 0o644))
	acme.Write(t, "good.csv", sandbox.Random(100))
	h.ScanAndWait(t)
	for _, name := range []string{"loop", "outside", "dangling", "pipe"} {
		h.File(t, acme.Path(name), func(f ingest.File) bool { return f.Status == ingest.StatusRejected })
	}
	for _, name := range []string{"loop", "outside", "dangling", "pipe"} {
		require.NoError(t, os.Remove(acme.Path(name))) // the audit reads the present files
	}
	requireNothingElse(t, h, acme.Path("good.csv"))
}

func TestFault29_ImpossibleSize(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	h.StartWorker(t)
	faulty := h.AddFaulty(t, "faulty", nil)
	faulty.SetFaults(services.SFTPFaults{Size: func(path string, size int64) int64 {
		if path == faulty.Path("huge.bin") {
			return -1 // on the wire 2^64 - 1
		}
		return size
	}})
	faulty.Write("huge.bin", sandbox.Random(10))
	h.WriteFaulty(faulty, "faulty", "good.csv", sandbox.Random(100))
	h.ScanAndWait(t)
	h.File(t, faulty.Path("huge.bin"), func(f ingest.File) bool { return f.Status == ingest.StatusRejected })
	requireNothingElse(t, h, faulty.Path("good.csv"))
}

// TestFault30_HugePacket sends a response of 300 KiB in the middle of a file. That is an
// error of the connection, and the file continues over another one.
func TestFault30_HugePacket(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	h.StartWorker(t)
	faulty := h.AddFaulty(t, "faulty", nil)
	var sent atomic.Int32
	faulty.SetFaults(services.SFTPFaults{Huge: func(read int) int {
		if read < 30 {
			return 0
		}
		sent.Add(1)
		return 300 << 10
	}})
	h.WriteFaulty(faulty, "faulty", "a.bin", sandbox.Random(3<<20))
	scan := h.Scan(t)
	waiting := h.File(t, faulty.Path("a.bin"), func(f ingest.File) bool { return f.ErrorMessage != "" })
	assert.Equal(t, ingest.KindTransient, waiting.ErrorKind)
	assert.Contains(t, waiting.ErrorMessage, "the server sent a packet of more than 256 KiB")
	assert.NotContains(t, waiting.ErrorMessage, "\n")
	assert.Positive(t, sent.Load())

	faulty.SetFaults(services.SFTPFaults{})
	h.AwaitScans(t, scan)
	h.AwaitIngest(t, h.Completed(t, faulty.Path("a.bin")).UUID)
	requireRetryRecorded(t, h, waiting.UUID, "")
	h.RequireExactlyOnce(t)
}

func TestFault31_ChangedHostKey(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	h.StartWorker(t)
	sshd := services.StartSSHD(t, services.SSHDOptions{Password: "right"})
	server := h.Adopt(t, sshd, "acme", nil)
	sshd.Write(t, "a.csv", sandbox.Random(100))
	sshd.RotateHostKey(t)
	h.ScanAndWait(t)
	now, err := h.Store.Server(h.Context(t), server.UUID)
	require.NoError(t, err)
	assert.Equal(t, ingest.ServerSuspended, now.State)
	assert.Contains(t, now.LastError, "SHA256:")
	assert.NotContains(t, sshd.Log(t), "assword for", "no credentials are sent to an unknown server")

	h.Pin(t, server.UUID, sshd.HostKeyLine)
	h.ScanAndWait(t)
	h.AwaitIngest(t, h.Completed(t, sshd.Path("a.csv")).UUID)
	h.RequireExactlyOnce(t)
}

func TestFault32_RotatedKeyWithASecondPin(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	h.StartWorker(t)
	sshd := services.StartSSHD(t, services.SSHDOptions{})
	old := sshd.HostKeyLine
	sshd.RotateHostKey(t)
	h.Adopt(t, sshd, "acme", func(s *ingest.Server) { s.HostKeys = []string{old, sshd.HostKeyLine} })
	sshd.Write(t, "a.csv", sandbox.Random(100))
	h.ScanAndWait(t)
	h.AwaitIngest(t, h.Completed(t, sshd.Path("a.csv")).UUID)
	h.RequireExactlyOnce(t)
}

// TestFault33_OnlySHA1Signatures: such servers are refused unless legacy algorithms are
// allowed for them.
func TestFault33_OnlySHA1Signatures(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	h.StartWorker(t)
	key := filepath.Join(t.TempDir(), "rsa")
	out, err := exec.Command("ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", key).CombinedOutput()
	require.NoError(t, err, string(out))
	pin, err := os.ReadFile(key + ".pub")
	require.NoError(t, err)
	sshd := services.StartSSHD(t, services.SSHDOptions{Config: []string{"HostKeyAlgorithms ssh-rsa", "HostKey " + key}})
	for name, legacy := range map[string]bool{"strict": false, "legacy": true} {
		register := h.Register
		if legacy {
			register = h.Adopt
		}
		register(t, sshd, name, func(s *ingest.Server) {
			s.HostKeys, s.LegacyAlgorithms = []string{strings.TrimSpace(string(pin))}, legacy
		})
	}
	sshd.Write(t, "a.csv", sandbox.Random(100))
	h.ScanAndWait(t)
	strict, err := h.Store.ServerByName(h.Context(t), "strict")
	require.NoError(t, err)
	assert.Equal(t, ingest.ServerSuspended, strict.State)
	assert.Contains(t, strict.LastError, "secure")
	h.AwaitIngest(t, h.Completed(t, sshd.Path("a.csv")).UUID)
	h.RequireExactlyOnce(t)
}
