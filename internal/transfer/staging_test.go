package transfer

import (
	"math"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"stevedore/internal/ingest"
)

func TestHostIDSurvivesRestart(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "not", "there", "yet")
	s, err := Open(Config{Dir: dir})
	require.NoError(t, err)
	id := s.HostID()
	require.True(t, validUUID(id))
	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
	require.NoError(t, s.Close())

	require.Equal(t, id, open(t, Config{Dir: dir}).HostID())
	require.NotEqual(t, id, open(t, Config{}).HostID())
}

func TestOpenRejectsDamagedHostID(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "host-id"), []byte("\x00\x00"), 0o600))
	_, err := Open(Config{Dir: dir})
	require.ErrorContains(t, err, "remove it to create a new one")
	require.NoError(t, os.Remove(filepath.Join(dir, "host-id")))
	open(t, Config{Dir: dir}) // the failed Open released the lock
}

func TestOpenRejectsSecondWorker(t *testing.T) {
	t.Parallel()
	s := open(t, Config{})
	_, err := Open(Config{Dir: s.cfg.Dir})
	require.EqualError(t, err, "staging folder "+s.cfg.Dir+" is used by another worker: give each worker its own STEVEDORE_STAGING_DIR")
	require.Equal(t, ingest.KindInvalid, ingest.KindOf(err))
}

func TestOpenRejectsInvalidConfig(t *testing.T) {
	t.Parallel()
	_, err := Open(Config{})
	require.ErrorContains(t, err, "STEVEDORE_STAGING_DIR")
	_, err = Open(Config{Dir: t.TempDir(), ChunkSize: 64 << 10})
	require.ErrorContains(t, err, "chunk size")
	_, err = Open(Config{Dir: t.TempDir(), Window: -1})
	require.ErrorContains(t, err, "negative")
}

func TestReserveAllocatesOnce(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("blocks are reserved on Linux only")
	}
	s := open(t, Config{})
	const size = 3 << 20
	for range 2 {
		require.NoError(t, s.Reserve(t.Context(), fileUUID, size))
	}
	f, err := s.folder(fileUUID)
	require.NoError(t, err)
	info, err := os.Stat(f.data())
	require.NoError(t, err)
	require.Zero(t, info.Size(), "a reservation adds no data")
	require.GreaterOrEqual(t, allocated(info), int64(size))
	require.Less(t, allocated(info), int64(2*size))

	// A copy that truncates a torn tail must repeat the reservation.
	require.NoError(t, os.WriteFile(f.data(), content(5000), 0o600))
	data, err := s.openData(f, 100, size)
	require.NoError(t, err)
	require.NoError(t, data.Close())
	info, err = os.Stat(f.data())
	require.NoError(t, err)
	require.Equal(t, int64(100), info.Size())
	require.GreaterOrEqual(t, allocated(info), int64(size))
}

func TestReserveRejectsWithoutSpace(t *testing.T) {
	t.Parallel()
	s := open(t, Config{ReserveBytes: math.MaxInt64 / 2})
	err := s.Reserve(t.Context(), fileUUID, 1000)
	require.Equal(t, ingest.KindStagingFull, ingest.KindOf(err))
	require.ErrorContains(t, err, "the file needs 1000 more bytes")
	require.ErrorContains(t, err, "has only")
	held, err := s.List()
	require.NoError(t, err)
	require.Empty(t, held)

	_, err = s.Fetch(t.Context(), fetchOf(content(10)))
	require.Equal(t, ingest.KindStagingFull, ingest.KindOf(err), "a fetch respects the reserve")
}

func TestReserveMessageWhenSpaceMayBeFreed(t *testing.T) {
	t.Parallel()
	v, err := statVolume(t.TempDir())
	require.NoError(t, err)
	s := open(t, Config{ReserveBytes: v.total - 1000}) // more than free, less than total
	err = s.Reserve(t.Context(), fileUUID, 1000)
	require.Equal(t, ingest.KindStagingFull, ingest.KindOf(err))
	require.ErrorContains(t, err, "continues automatically")
}

func TestReserveWithoutSpaceKeepsStagedBytes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := Open(Config{Dir: dir})
	require.NoError(t, err)
	want := content(5000)
	_, err = s.Fetch(t.Context(), fetchOf(want))
	require.NoError(t, err)
	require.NoError(t, s.Close())

	s = open(t, Config{Dir: dir, ReserveBytes: math.MaxInt64 / 2})
	require.NoError(t, s.Reserve(t.Context(), fileUUID, 5000), "staged bytes need no further space")
	require.Error(t, s.Reserve(t.Context(), fileUUID, 50_000_000))
	requireStaged(t, s, want)
}

func TestDiskErrors(t *testing.T) {
	t.Parallel()
	require.NoError(t, diskError(nil, "write"))
	for _, err := range []error{unix.ENOSPC, unix.EDQUOT, &os.PathError{Op: "write", Path: "x", Err: unix.ENOSPC}} {
		require.Equal(t, ingest.KindStagingFull, ingest.KindOf(diskError(err, "write")))
	}
	require.Equal(t, ingest.KindTransient, ingest.KindOf(diskError(unix.EIO, "write")))
}

func TestUsage(t *testing.T) {
	t.Parallel()
	s := open(t, Config{})
	before, err := s.Usage()
	require.NoError(t, err)
	require.Zero(t, before.Files)
	require.Zero(t, before.InUse)
	require.Positive(t, before.Free)
	require.LessOrEqual(t, before.Free, before.Size)

	id := uuid.NewString()
	f, err := s.folder(id)
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(f.path, 0o700))
	require.NoError(t, os.WriteFile(f.data(), make([]byte, 1<<20), 0o600))
	taken, err := s.Usage()
	require.NoError(t, err)
	require.Equal(t, 1, taken.Files)
	require.GreaterOrEqual(t, taken.InUse, int64(1<<20))

	require.NoError(t, s.Discard(id))
	after, err := s.Usage()
	require.NoError(t, err)
	require.Zero(t, after.Files)
	require.Zero(t, after.InUse)

	full, err := open(t, Config{ReserveBytes: math.MaxInt64}).Usage()
	require.NoError(t, err)
	require.Zero(t, full.Free, "free space is never negative")
}
