package faults_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
)

// TestFault34_StagingFull has a staging volume without space for the large file. The file
// reports the reason and waits, a small file overtakes it, and it continues automatically
// once there is space.
func TestFault34_StagingFull(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	h.Cfg.Staging.Dir = smallVolume(t)
	h.StartWorker(t)
	acme := h.AddServer(t, "acme", sandbox.Staged)
	acme.Write(t, "large.bin", sandbox.Random(600<<10))
	acme.Write(t, "small.bin", sandbox.Random(50<<10))
	ballast, free := fillVolume(t, h.Cfg.Staging.Dir, 300<<10)
	require.True(t, free > 100<<10 && free < 600<<10, "%d bytes are free", free)

	scan := h.Scan(t)
	waiting := h.File(t, acme.Path("large.bin"), waitsFor(h.Cfg.Staging.Dir))
	assert.Equal(t, ingest.KindStagingFull, waiting.ErrorKind)
	h.Completed(t, acme.Path("small.bin"))
	assert.Equal(t, ingest.StatusReady, h.File(t, acme.Path("large.bin"), func(ingest.File) bool { return true }).Status)

	require.NoError(t, os.Remove(ballast))
	h.AwaitScans(t, scan)
	requireRetryRecorded(t, h, waiting.UUID, "is full")
	h.RequireExactlyOnce(t)
}

// TestFault34_NoRoomForTheCheckpoint has space for every byte of the file, and none for
// the checkpoint.
func TestFault34_NoRoomForTheCheckpoint(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	h.Cfg.Staging.Dir = smallVolume(t)
	h.StartWorker(t)
	acme := h.AddServer(t, "acme", sandbox.Staged)
	// A scan of an empty server makes sure that the worker has written its initial files.
	h.ScanAndWait(t)
	ballast, free := fillVolume(t, h.Cfg.Staging.Dir, 400<<10)
	acme.Write(t, "a.bin", sandbox.Random(int(free)))

	scan := h.Scan(t)
	waiting := h.File(t, acme.Path("a.bin"), func(f ingest.File) bool { return f.ErrorKind == ingest.KindStagingFull })
	assert.Equal(t, ingest.StatusDownloading, waiting.Status, "the bytes of the file had space")

	require.NoError(t, os.Remove(ballast))
	h.AwaitScans(t, scan)
	requireRetryRecorded(t, h, waiting.UUID, "is full")
	h.RequireExactlyOnce(t)
}

// TestFault36_BitFlippedInStaging damages staged bytes, once before and once after their
// verification.
func TestFault36_BitFlippedInStaging(t *testing.T) {
	t.Parallel()
	for _, size := range []int{30_000, 18 << 20} { // in one request and in parts
		t.Run(fmt.Sprintf("before verify/%d bytes", size), func(t *testing.T) {
			t.Parallel()
			damage, fetches := firstTime(func(s ingest.Staged) { flipInFile(t, s.Path) })
			h := ingestWithHooks(t, size, hooks{afterFetch: damage})
			assert.EqualValues(t, 2, fetches.Load(), "damaged bytes are fetched again once")
			h.RequireExactlyOnce(t)
		})
		t.Run(fmt.Sprintf("before upload/%d bytes", size), func(t *testing.T) {
			t.Parallel()
			damage, puts := firstTime(func(p ingest.Put) { flipInFile(t, p.Path) })
			h := ingestWithHooks(t, size, hooks{beforePut: damage})
			assert.EqualValues(t, 2, puts.Load(), "damaged bytes are fetched again once")
			h.RequireExactlyOnce(t)
		})
	}
}

// TestFault37_StagingWiped empties the staging folder of a running worker.
func TestFault37_StagingWiped(t *testing.T) {
	t.Parallel()
	t.Run("before verify", func(t *testing.T) {
		t.Parallel()
		wipe, fetches := firstTime(func(s ingest.Staged) { wipeFiles(t, s.Path) })
		h := ingestWithHooks(t, 30_000, hooks{afterFetch: wipe})
		assert.EqualValues(t, 2, fetches.Load())
		h.RequireExactlyOnce(t)
	})
	t.Run("before upload", func(t *testing.T) {
		t.Parallel()
		wipe, puts := firstTime(func(p ingest.Put) { wipeFiles(t, p.Path) })
		h := ingestWithHooks(t, 30_000, hooks{beforePut: wipe})
		assert.EqualValues(t, 2, puts.Load())
		h.RequireExactlyOnce(t)
	})
	t.Run("during the transfer", func(t *testing.T) {
		t.Parallel()
		wipedWhileRead(t)
	})
}

// TestFault37_WholeStagingFolderGone removes the folder of a stopped worker with its id,
// so that no worker returns for its staged files.
func TestFault37_WholeStagingFolderGone(t *testing.T) {
	chaosOnly(t)
	t.Parallel()
	h := sandbox.NewCluster(t)
	h.Cfg.Worker.HostTimeout = 5 * time.Second
	proxy := newStoreProxy(t, h)
	proxy.inject(func(w http.ResponseWriter, r *http.Request) bool {
		refuse(w, r, http.StatusServiceUnavailable, "SlowDown", "Please reduce your request rate.")
		return true
	}, nil)
	acme := h.AddServer(t, "acme", sandbox.Staged)
	acme.Write(t, "a.bin", sandbox.Random(1000))
	fetched, fetches := firstTime(func(ingest.Staged) {})
	stop := h.StartWorkerWith(t, h.Cfg, hooks{afterFetch: fetched}.wrap)
	scan := h.Scan(t)
	file := h.File(t, acme.Path("a.bin"), func(f ingest.File) bool { return f.Status == ingest.StatusUploading && f.ErrorMessage != "" })
	stop()
	require.NoError(t, os.RemoveAll(h.Cfg.Staging.Dir))
	proxy.inject(nil, nil)
	h.StartWorkerWith(t, h.Cfg, hooks{afterFetch: fetched}.wrap)
	h.AwaitScans(t, scan)
	h.Completed(t, acme.Path("a.bin"))
	h.AwaitIngest(t, file.UUID)
	assert.EqualValues(t, 2, fetches.Load())
	h.RequireExactlyOnce(t)
}

// wipedWhileRead: the transfer continues to write to unlinked files. They must not count
// as staged.
func wipedWhileRead(t *testing.T) {
	h := sandbox.NewCluster(t)
	var proxy *sandbox.Proxy
	acme := h.AddServer(t, "acme", func(s *ingest.Server) {
		proxy = sandbox.NewProxy(t, s.Host, s.Port)
		s.Port, s.Transfer = proxy.Port, ingest.TransferStaged
	})
	proxy.AddToxic(t, "bandwidth", map[string]int{"rate": 1 << 10})
	acme.Write(t, "a.bin", sandbox.Random(20<<20))
	fetched, fetches := firstTime(func(ingest.Staged) {})
	h.StartWorkerWith(t, h.Cfg, hooks{afterFetch: fetched}.wrap)
	scan := h.Scan(t)
	sandbox.Eventually(t, func() bool { return largestStaged(h.Cfg.Staging.Dir) > 2<<20 }, sandbox.Timeout, tick)
	require.Zero(t, fetches.Load())
	require.NoError(t, os.RemoveAll(filepath.Join(h.Cfg.Staging.Dir, "files")))
	require.NoError(t, os.Mkdir(filepath.Join(h.Cfg.Staging.Dir, "files"), 0o700))
	proxy.RemoveToxic(t, "bandwidth")
	h.AwaitScans(t, scan)
	file := h.Completed(t, acme.Path("a.bin"))
	requireRetryRecorded(t, h, file.UUID, "checkpoint")
	h.RequireExactlyOnce(t)
}

// ingestWithHooks ingests one file with the hooks in the worker.
func ingestWithHooks(t *testing.T, size int, fns hooks) *sandbox.Cluster {
	t.Helper()
	h := sandbox.NewCluster(t)
	acme := h.AddServer(t, "acme", sandbox.Staged)
	acme.Write(t, "a.bin", sandbox.Random(size))
	h.StartWorkerWith(t, h.Cfg, fns.wrap)
	h.ScanAndWait(t)
	return h
}

func flipInFile(t *testing.T, path string) {
	content, err := os.ReadFile(path)
	if assert.NoError(t, err) {
		content[len(content)/2] ^= 1
		assert.NoError(t, os.WriteFile(path, content, 0o600))
	}
}

// wipeFiles removes all staged files of the folder that contains path.
func wipeFiles(t *testing.T, path string) {
	assert.NoError(t, os.RemoveAll(filepath.Dir(path)))
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// smallVolume mounts a file system of 1 MiB for a staging folder.
func smallVolume(t *testing.T) string {
	t.Helper()
	return mountVolume(t, t.TempDir(), "size=1m")
}

// mountVolume mounts a tmpfs at the folder until the test ends. It skips the test only if
// the user may not mount.
func mountVolume(t *testing.T, dir, options string) string {
	t.Helper()
	err := unix.Mount("tmpfs", dir, "tmpfs", 0, options)
	if errors.Is(err, unix.EPERM) {
		t.Skipf("cannot mount a small volume (%v): this test needs root", err)
	}
	require.NoError(t, err, "mount a small volume")
	t.Cleanup(func() { assert.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}

// fillVolume fills the volume except for about the given number of bytes, a multiple of
// 4096. It returns the filling file and the actual free space, because others may write a
// few blocks meanwhile.
func fillVolume(t *testing.T, dir string, leave int64) (ballast string, free int64) {
	t.Helper()
	var st unix.Statfs_t
	require.NoError(t, unix.Statfs(dir, &st))
	ballast = filepath.Join(dir, "ballast")
	require.NoError(t, os.WriteFile(ballast, make([]byte, int64(st.Bavail)*st.Bsize-leave), 0o600))
	require.NoError(t, unix.Statfs(dir, &st))
	return ballast, int64(st.Bavail) * st.Bsize
}
