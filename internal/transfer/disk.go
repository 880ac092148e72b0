package transfer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"stevedore/internal/ingest"
)

// flock locks f exclusively. It returns EWOULDBLOCK when another open file of this
// or another process holds the lock.
func flock(f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// writeAtomic replaces the file at path durably: after a crash it has the old or
// the new content. The failpoint, if not nil, is called before and after the
// rename.
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

// writeSynced writes a file and syncs it to disk.
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

// diskError classifies an error of the local disk: a full volume is
// KindStagingFull, other errors are transient.
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

// The points of a save at which tests simulate a crash.
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
