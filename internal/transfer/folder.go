package transfer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"stevedore/internal/ingest"
)

// folder is the staging folder of one file.
type folder struct {
	path string
	// handle is the open, locked folder; nil without a lock.
	handle *os.File
}

func (f folder) data() string       { return filepath.Join(f.path, "data") }
func (f folder) checkpoint() string { return filepath.Join(f.path, "checkpoint.json") }

// unlock releases the lock.
func (f folder) unlock() { _ = f.handle.Close() } // opened for reading only

// folder returns the file's folder after verifying that the staging folder is the
// opened one.
func (s *Staging) folder(fileUUID string) (folder, error) {
	if err := s.present(); err != nil {
		return folder{}, err
	}
	return s.named(fileUUID)
}

// named returns the file's folder without accessing the disk.
func (s *Staging) named(fileUUID string) (folder, error) {
	if !validUUID(fileUUID) {
		return folder{}, ingest.Errorf(ingest.KindInvalid, "invalid file uuid %q", fileUUID)
	}
	return folder{path: filepath.Join(s.cfg.Dir, "files", fileUUID)}, nil
}

// lockFolder creates the file's folder if it is missing, and locks it.
func (s *Staging) lockFolder(fileUUID string) (folder, error) {
	f, err := s.folder(fileUUID)
	if err != nil {
		return folder{}, err
	}
	for {
		if err := makeDurable(f.path); err != nil {
			return folder{}, diskError(err, "make the file's staging folder")
		}
		locked, err := f.lock()
		// Discard may have removed the folder between the two steps.
		if !errors.Is(err, fs.ErrNotExist) {
			return locked, err
		}
	}
}

// lock locks an existing folder. It returns fs.ErrNotExist for a missing one, and
// KindTransient when another attempt holds the lock.
func (f folder) lock() (folder, error) {
	handle, err := os.Open(f.path)
	if err != nil {
		return folder{}, fmt.Errorf("open the file's staging folder: %w", err)
	}
	f.handle = handle
	if err := f.lockHandle(); err != nil {
		f.unlock()
		return folder{}, err
	}
	return f, nil
}

// lockHandle locks the open folder and verifies that it is still at its path: it
// may have been removed before the lock.
func (f folder) lockHandle() error {
	if err := flock(f.handle); errors.Is(err, unix.EWOULDBLOCK) {
		return ingest.Errorf(ingest.KindTransient, "another attempt still holds the staged file %s", filepath.Base(f.path))
	} else if err != nil {
		return fmt.Errorf("lock the file's staging folder: %w", err)
	}
	held, err := f.handle.Stat()
	if err != nil {
		return fmt.Errorf("stat the locked staging folder: %w", err)
	}
	named, err := os.Stat(f.path)
	if err != nil {
		return fmt.Errorf("stat the file's staging folder: %w", err)
	}
	if !os.SameFile(held, named) {
		return fmt.Errorf("staging folder was replaced: %w", fs.ErrNotExist)
	}
	return nil
}

// makeDurable creates a folder and syncs its name.
func makeDurable(path string) error {
	err := os.Mkdir(path, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}
