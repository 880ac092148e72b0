package transfer

import "os"

// saver writes checkpoints concurrently with the copy, because an fsync of
// megabytes takes long enough to drain the pipeline. At most one save runs at a
// time. After a failed one all later ones fail; see the package comment.
type saver struct {
	folder    folder
	data      *os.File
	failpoint func(string) error
	// begun is the offset of the newest checkpoint, written or in progress.
	begun int64
	// running receives the result of the save in progress; nil for none.
	running chan error
	// err is the first failure.
	err error
}

// begin waits for the save in progress and starts the next one. Everything written
// before begin is on disk before the checkpoint.
func (s *saver) begin(cp checkpoint) error {
	if err := s.wait(); err != nil {
		return err
	}
	s.begun = cp.Offset
	running := make(chan error, 1)
	s.running = running
	go func() { running <- s.save(cp) }()
	return nil
}

// wait waits for the save in progress.
func (s *saver) wait() error {
	if s.running == nil {
		return s.err
	}
	return s.ended(<-s.running)
}

// ended records the result of the save.
func (s *saver) ended(err error) error {
	s.running = nil
	s.err = err
	return err
}

// save syncs the data, then writes the checkpoint.
func (s *saver) save(cp checkpoint) error {
	if err := s.data.Sync(); err != nil {
		return diskError(err, "sync staged data")
	}
	if err := at(s.failpoint, pointDataSynced); err != nil {
		return err
	}
	text, err := cp.encode()
	if err != nil {
		return err
	}
	return diskError(writeAtomic(s.folder.checkpoint(), text, s.failpoint), "write the checkpoint")
}
