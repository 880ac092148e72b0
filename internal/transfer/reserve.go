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

// Reserve makes sure that a file of size bytes has room, leaving
// Config.ReserveBytes of the volume free, and takes the room at once where the
// file system can. Bytes the file already has count. It may be repeated.
// Without room it returns KindStagingFull and keeps nothing of a new file.
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
	defer func() { _ = data.Close() }() // a reservation, not data: Fetch renews what is lost
	s.room.Lock()
	defer s.room.Unlock()
	if err := s.reserve(data, size); err != nil {
		return errors.Join(err, f.removeIfEmpty())
	}
	return nil
}

// openData opens the file's data for a copy that goes on at offset: what is
// behind it is cut off, and the rest of size is reserved again, because cutting
// frees blocks reserved before.
func (s *Staging) openData(f folder, offset, size int64) (*os.File, error) {
	data, err := os.OpenFile(f.data(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, diskError(err, "create staged data")
	}
	s.room.Lock()
	defer s.room.Unlock()
	err = cut(data, offset)
	if err == nil {
		err = s.reserve(data, size)
	}
	if err != nil {
		return nil, errors.Join(err, data.Close())
	}
	return data, nil
}

// cut shortens the data to length, if it is longer.
func cut(data *os.File, length int64) error {
	info, err := data.Stat()
	if err != nil {
		return fmt.Errorf("stat staged data: %w", err)
	}
	if info.Size() <= length {
		return nil
	}
	return diskError(data.Truncate(length), "cut staged data to the checkpoint")
}

// reserve takes the blocks that data still needs for size bytes. The caller
// holds room, so that two files are not promised the same space.
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
		return nil // the check above has to do
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		// Give back what was got before the space ran out.
		return v.full(missing, s.cfg.ReserveBytes, errors.Join(err, data.Truncate(info.Size())))
	case err != nil:
		return fmt.Errorf("reserve %d bytes: %w", size, err)
	}
	return nil
}

// allocated returns the bytes the volume has set aside for a file.
func allocated(info fs.FileInfo) int64 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return stat.Blocks * 512 // the unit of st_blocks, whatever the block size
	}
	return 0
}

// removeIfEmpty removes the folder of a file of which no byte was ever staged.
func (f folder) removeIfEmpty() error {
	if _, err := os.Stat(f.checkpoint()); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if info, err := os.Stat(f.data()); err != nil || info.Size() > 0 {
		return err
	}
	return os.RemoveAll(f.path)
}

// volume is the space of the file system that holds the staging folder, in bytes.
type volume struct {
	dir         string
	free, total int64
}

// statVolume asks for it. Free is what an ordinary user may take.
func statVolume(dir string) (volume, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return volume{}, fmt.Errorf("ask for the free space of %s: %w", dir, err)
	}
	block := int64(st.Bsize) //nolint:unconvert // its type differs between systems
	return volume{dir: dir, free: int64(st.Bavail) * block, total: int64(st.Blocks) * block}, nil
}

// Usage is how much of the staging volume is taken.
type Usage struct {
	// Size is the volume's, Free what files may still take: without the reserve,
	// and never negative. InUse is what staged files take, room that is reserved
	// for them included. All are in bytes.
	Size, Free, InUse int64
	// Files is how many files have something here.
	Files int
}

// Usage looks at the volume and at each staged file.
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
		if info, err := os.Stat(f.data()); err == nil { // it may be discarded meanwhile
			u.InUse += max(allocated(info), info.Size())
		}
	}
	return u, nil
}

// full returns the error for people: who must do what.
func (v volume) full(missing, reserve int64, cause error) error {
	what := fmt.Sprintf("staging volume of %s is full: the file needs %d more bytes, %d are free and %d are kept in reserve", v.dir, missing, v.free, reserve)
	remedy := "free space or enlarge the volume, the file then goes on by itself"
	if missing > v.total-reserve {
		remedy = fmt.Sprintf("the volume has %d bytes and can never hold it: enlarge it or lower STEVEDORE_STAGING_RESERVE_BYTES", v.total)
	}
	return &ingest.Error{Kind: ingest.KindStagingFull, Message: what + ": " + remedy, Err: cause}
}
