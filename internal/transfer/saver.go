package transfer

import "os"

// saver writes checkpoints while the copy goes on: an fsync of megabytes takes
// long enough to drain the pipeline. At most one save runs at a time. After one
// has failed all later ones fail, too, see the package comment.
type saver struct {
	folder    folder
	data      *os.File
	failpoint func(string) error
	// begun is the offset of the newest checkpoint, written or being written.
	begun int64
	// running receives the outcome of the save under way; nil when none is.
	running chan error
	// err is the first failure.
	err error
}

// begin waits for the save under way and starts the next. What was written
// before begin is on disk when the checkpoint is.
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

// wait returns once no save is under way.
func (s *saver) wait() error {
	if s.running == nil {
		return s.err
	}
	return s.ended(<-s.running)
}

// ended notes the outcome of the save that was under way.
func (s *saver) ended(err error) error {
	s.running = nil
	s.err = err
	return err
}

// save makes the data durable, then the checkpoint that speaks of it.
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
