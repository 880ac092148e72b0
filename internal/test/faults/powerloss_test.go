package faults_test

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
)

// TestFault35_PowerLoss kills the worker and discards everything from its staging volume,
// an ext4 file system, that was not synced.
func TestFault35_PowerLoss(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	disk := newDisk(t)
	h.Cfg.Staging.Dir = disk.dir
	var proxy *sandbox.Proxy
	acme := h.AddServer(t, "acme", func(s *ingest.Server) {
		proxy = sandbox.NewProxy(t, s.Host, s.Port)
		s.Port, s.Transfer = proxy.Port, ingest.TransferStaged
	})
	proxy.AddToxic(t, "bandwidth", map[string]int{"rate": 6 << 10})
	content := sandbox.Random(80 << 20)
	acme.Write(t, "a.bin", content)
	env := []string{"STEVEDORE_STAGING_DIR=" + disk.dir}
	worker := h.StartProcess(t, sandbox.ProcessOptions{Env: env})
	scan := h.ScanAsync(t)
	file := h.File(t, acme.Path("a.bin"), func(f ingest.File) bool { return f.Status == ingest.StatusDownloading })
	staged := filepath.Join(disk.dir, "files", file.UUID)
	var before, after int64
	// The kernel may write back early by itself; then the test tries again.
	for at := int64(21 << 20); after == before && at < int64(len(content)); at += 18 << 20 {
		sandbox.Eventually(t, func() bool {
			return fileExists(filepath.Join(staged, "checkpoint.json")) && largestStaged(disk.dir) > at
		}, sandbox.Timeout, tick, "the download does not continue")
		worker.Kill()
		before = intact(t, filepath.Join(staged, "data"), content)
		disk.cutPower(t)
		after = intact(t, filepath.Join(staged, "data"), content)
		worker = h.StartProcess(t, sandbox.ProcessOptions{Env: env})
	}
	figure(t, "fault 35: %.1f MiB staged, %.1f MiB left after the power loss", mib(before), mib(after))
	require.Less(t, after, before, "the kernel had written all bytes back: the test lost nothing")

	proxy.RemoveToxic(t, "bandwidth")
	h.AwaitScans(t, scan())
	h.AwaitIngest(t, file.UUID)
	offset, _ := sandbox.LastDetail(h.Events(t, file.UUID), ingest.EventDownloadResumed, "offset").(float64)
	assert.Positive(t, offset, "synced bytes are kept")
	assert.LessOrEqual(t, int64(offset), after, "unsynced bytes are not used")
	h.RequireExactlyOnce(t)
}

// intact returns the length of the correct prefix of a file.
func intact(t *testing.T, path string, content []byte) (n int64) {
	t.Helper()
	found, err := os.ReadFile(path)
	require.NoError(t, err)
	for i := range min(len(found), len(content)) {
		if found[i] != content[i] {
			break
		}
		n++
	}
	return n
}

// disk is a file system in a file.
type disk struct {
	dir   string
	image string
}

// newDisk creates and mounts a disk. Its file system writes back by itself only after
// minutes and does not sync a file on rename, because other file systems do neither.
func newDisk(t *testing.T) *disk {
	t.Helper()
	d := &disk{dir: t.TempDir(), image: filepath.Join(t.TempDir(), "disk")}
	require.NoError(t, os.WriteFile(d.image, nil, 0o600))
	require.NoError(t, os.Truncate(d.image, 128<<20))
	mountVolume(t, t.TempDir(), "size=1m") // skips where nothing can be mounted
	out, err := exec.Command("mkfs.ext4", "-q", d.image).CombinedOutput()
	require.NoError(t, err, "cannot make a file system: %s", out)
	out, err = d.mount()
	require.NoError(t, err, "cannot mount a file system: %s", out)
	t.Cleanup(func() { _ = unix.Unmount(d.dir, unix.MNT_DETACH) })
	return d
}

func (d *disk) mount() ([]byte, error) {
	return exec.Command("mount", "-o", "loop,commit=600,noauto_da_alloc", d.image, d.dir).CombinedOutput()
}

// cutPower replaces the file system by the content of its device, without data that is
// only in memory. It must not be in use.
func (d *disk) cutPower(t *testing.T) {
	t.Helper()
	device, err := os.Open(d.image)
	require.NoError(t, err)
	defer device.Close()
	left := d.image + ".left"
	image, err := os.Create(left)
	require.NoError(t, err)
	_, err = io.Copy(image, device)
	require.NoError(t, err)
	require.NoError(t, image.Close())
	require.NoError(t, unix.Unmount(d.dir, 0))
	d.image = left
	out, err := d.mount()
	require.NoError(t, err, "cannot mount the file system again: %s", out)
}
