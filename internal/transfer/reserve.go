package transfer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"stevedore/internal/ingest"
)

// Reserve reserves space for a file of size bytes while leaving
// Config.ReserveBytes of the volume free. Blocks are allocated where the file
// system supports it. Bytes that the file already has count. It is idempotent.
// Without space it returns KindStagingFull and leaves nothing of a new file.
func (s *Staging) Reserve(ctx context.Context, fileUUID string, size int64) (err error) {
	defer s.explain(&err)
	if size < 0 {
		return ingest.Errorf(ingest.KindInvalid, "cannot reserve %d bytes", size)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	f, err := s.lockFolder(fileUUID)
	if err != nil {
		return err
	}
	defer f.unlock()
	data, err := os.OpenFile(f.data(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return diskError(err, "create staged data")
	}
	defer func() { _ = data.Close() }() // only a reservation: Fetch repeats it
	s.spaceMu.Lock()
	defer s.spaceMu.Unlock()
	if err := s.reserve(data, size); err != nil {
		return errors.Join(err, f.removeIfEmpty())
	}
	return nil
}

// openData opens the file's data for a copy that resumes at offset. It truncates
// the data to offset and then repeats the reservation for size, because truncation
// frees reserved blocks.
func (s *Staging) openData(f folder, offset, size int64) (*os.File, error) {
	data, err := os.OpenFile(f.data(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, diskError(err, "create staged data")
	}
	s.spaceMu.Lock()
	defer s.spaceMu.Unlock()
	err = cut(data, offset)
	if err == nil {
		err = s.reserve(data, size)
	}
	if err != nil {
		return nil, errors.Join(err, data.Close())
	}
	return data, nil
}

// cut truncates longer data to length.
func cut(data *os.File, length int64) error {
	info, err := data.Stat()
	if err != nil {
		return fmt.Errorf("stat staged data: %w", err)
	}
	if info.Size() <= length {
		return nil
	}
	return diskError(data.Truncate(length), "truncate staged data to the checkpoint")
}

// reserve allocates the blocks that data still needs for size bytes. The caller
// holds spaceMu, so that two files never reserve the same space.
func (s *Staging) reserve(data *os.File, size int64) error {
	info, err := data.Stat()
	if err != nil {
		return fmt.Errorf("stat staged data: %w", err)
	}
	missing := size - max(allocated(info), info.Size())
	if missing <= 0 {
		return nil
	}
	v, err := statVolume(s.cfg.Dir)
	if err != nil {
		return err
	}
	if v.free-s.cfg.ReserveBytes < missing {
		return v.full(missing, s.cfg.ReserveBytes, nil)
	}
	err = allocate(data, size)
	switch {
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
		return nil // the volume cannot preallocate: the check of free space must suffice
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		// Free the blocks allocated before the space ran out.
		return v.full(missing, s.cfg.ReserveBytes, errors.Join(err, data.Truncate(info.Size())))
	case err != nil:
		return fmt.Errorf("reserve %d bytes: %w", size, err)
	}
	return nil
}

// allocated returns the bytes allocated for a file.
func allocated(info fs.FileInfo) int64 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return stat.Blocks * 512 // st_blocks counts units of 512 bytes
	}
	return 0
}

// removeIfEmpty removes the folder of a file without staged bytes.
func (f folder) removeIfEmpty() error {
	if _, err := os.Stat(f.checkpoint()); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if info, err := os.Stat(f.data()); err != nil || info.Size() > 0 {
		return err
	}
	return os.RemoveAll(f.path)
}

// volume is the space, in bytes, of the file system of the staging folder.
type volume struct {
	dir         string
	free, total int64
}

// statVolume returns the volume's space. free excludes space reserved for root.
func statVolume(dir string) (volume, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return volume{}, fmt.Errorf("get the free space of %s: %w", dir, err)
	}
	block := int64(st.Bsize) //nolint:unconvert // the type depends on the system
	return volume{dir: dir, free: int64(st.Bavail) * block, total: int64(st.Blocks) * block}, nil
}

// Usage is the use of the staging volume.
type Usage struct {
	// Size is the size of the volume. Free is the space for further files, without the
	// reserve, and never negative. InUse is the space of staged files including
	// reservations. All are in bytes.
	Size, Free, InUse int64
	// Files is the number of files with data in staging.
	Files int
}

// Usage measures the volume and every staged file.
func (s *Staging) Usage() (u Usage, err error) {
	defer s.explain(&err)
	v, err := statVolume(s.cfg.Dir)
	if err != nil {
		return Usage{}, err
	}
	held, err := s.List()
	if err != nil {
		return Usage{}, err
	}
	u = Usage{Size: v.total, Free: max(0, v.free-s.cfg.ReserveBytes), Files: len(held)}
	for _, file := range held {
		f, err := s.named(file.FileUUID)
		if err != nil {
			return Usage{}, err
		}
		if info, err := os.Stat(f.data()); err == nil { // it may be discarded concurrently
			u.InUse += max(allocated(info), info.Size())
		}
	}
	return u, nil
}

// full returns KindStagingFull with the remedy.
func (v volume) full(missing, reserve int64, cause error) error {
	what := fmt.Sprintf("staging volume of %s is full: the file needs %d more bytes, %d are free and %d are kept in reserve", v.dir, missing, v.free, reserve)
	remedy := "free space or enlarge the volume, then the file continues automatically"
	if missing > v.total-reserve {
		remedy = fmt.Sprintf("the volume has only %d bytes: enlarge it or lower STEVEDORE_STAGING_RESERVE_BYTES", v.total)
	}
	return &ingest.Error{Kind: ingest.KindStagingFull, Message: what + ": " + remedy, Err: cause}
}
