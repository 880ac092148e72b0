package transfer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"stevedore/internal/ingest"
)

// Check verifies that the folder is the opened one and writable. Its errors,
// KindStagingUnavailable or KindStagingFull, contain the remedy.
func (s *Staging) Check() error {
	if err := s.present(); err != nil {
		return err
	}
	probe := filepath.Join(s.cfg.Dir, "probe")
	f, err := os.OpenFile(probe, os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		err = errors.Join(f.Close(), os.Remove(probe))
	}
	err = diskError(err, "write to the staging folder")
	s.explain(&err)
	if err != nil && ingest.KindOf(err) == ingest.KindTransient {
		return unavailable(err, "staging folder %s is not writable: repair its volume", s.cfg.Dir)
	}
	return err
}

// explain replaces an error, such as KindStagingLost, by its cause when the
// staging folder is missing or read-only: the bytes on an unmounted volume are not
// lost.
func (s *Staging) explain(err *error) {
	if *err == nil {
		return
	}
	switch ingest.KindOf(*err) {
	case ingest.KindTransient, ingest.KindStagingLost, ingest.KindStagingFull:
	default:
		return
	}
	if away := s.present(); away != nil {
		*err = away
	} else if errors.Is(*err, unix.EROFS) {
		*err = unavailable(*err, "staging folder %s is read-only: repair its volume and mount it writable", s.cfg.Dir)
	}
}

// present verifies that the folder is the opened one. A remounted volume is locked
// again, because another worker may use it now.
func (s *Staging) present() error {
	s.lockMu.Lock()
	defer s.lockMu.Unlock()
	held, err := s.lock.Stat()
	if err != nil {
		return fmt.Errorf("stat the lock of the staging folder: %w", err)
	}
	named, err := os.Stat(filepath.Join(s.cfg.Dir, "lock"))
	if err == nil && os.SameFile(held, named) {
		return nil
	}
	id, err := readHostID(s.cfg.Dir)
	if err != nil {
		return unavailable(err, "staging folder %s has lost its volume %s: remount the volume; if its content is lost, restart the worker",
			s.cfg.Dir, s.hostID)
	}
	if id != s.hostID {
		return unavailable(nil, "staging folder %s holds volume %s instead of %s: mount the right volume, or restart the worker to use this one",
			s.cfg.Dir, id, s.hostID)
	}
	lock, err := lockDir(s.cfg.Dir)
	if err != nil {
		return unavailable(err, "staging folder %s cannot be locked: stop the other worker that uses it, or repair its volume", s.cfg.Dir)
	}
	previous := s.lock
	s.lock = lock
	return previous.Close()
}

func unavailable(cause error, format string, args ...any) error {
	message := fmt.Sprintf(format, args...)
	return &ingest.Error{Kind: ingest.KindStagingUnavailable, Message: message, Err: cause}
}
