package transfer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"stevedore/internal/ingest"
)

// flock takes an exclusive lock on f, or returns EWOULDBLOCK when another open
// file holds it, be it of this or another process.
func flock(f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// writeAtomic replaces the file at path: a crash at any moment leaves the old
// content or the new, on disk. The failpoint, may be nil, is called before and
// after the rename.
func writeAtomic(path string, content []byte, failpoint func(string) error) error {
	tmp := path + ".tmp"
	if err := writeSynced(tmp, content); err != nil {
		return err
	}
	if err := at(failpoint, pointBeforeRename); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	if err := at(failpoint, pointAfterRename); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// writeSynced writes a file and waits until its content is on disk.
func writeSynced(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncDir makes the names in a folder durable.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// diskError gives an error of the local disk its kind: a full disk waits for
// people, all else is worth another try.
func diskError(err error, doing string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return ingest.Wrap(ingest.KindStagingFull, err, "staging volume is full: free space or inodes on it, or enlarge it")
	default:
		return fmt.Errorf("%s: %w", doing, err)
	}
}

// The points between the steps of a save at which tests let it die.
const (
	pointDataSynced   = "data synced"
	pointBeforeRename = "before rename"
	pointAfterRename  = "after rename"
)

// at calls the failpoint if there is one.
func at(failpoint func(string) error, point string) error {
	if failpoint == nil {
		return nil
	}
	return failpoint(point)
}
