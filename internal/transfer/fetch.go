package transfer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"time"

	"stevedore/internal/ingest"
)

// Fetch copies the remote bytes into staging, resuming from the last checkpoint of
// the same version. It reads exactly req.Size bytes and returns after they are
// synced to disk and the source has reported the end of the file. The caller must
// stat the source for later growth.
//
// If Fetch ends early, the progress is saved. Reasons are ctx (its error),
// req.Stop (ingest.ErrStopped), a failed read (its error), and no bytes for the
// configured time (KindTransient). A source that is shorter or longer than
// req.Size is KindChanged, a full disk KindStagingFull, and another running
// attempt on the file KindTransient.
//
// Fetch does not wait for hanging reads: after an error the caller closes the
// source, which ends them.
func (s *Staging) Fetch(ctx context.Context, req ingest.Fetch) (staged ingest.Staged, err error) {
	defer s.explain(&err)
	if req.Size < 0 || req.Source == nil {
		return ingest.Staged{}, ingest.Errorf(ingest.KindInvalid, "fetch of %s needs a source and a size, got %d bytes", req.FileUUID, req.Size)
	}
	f, err := s.lockFolder(req.FileUUID)
	if err != nil {
		return ingest.Staged{}, err
	}
	defer f.unlock()
	from, h, err := s.resume(f, req)
	if err != nil {
		return ingest.Staged{}, err
	}
	digest := from.Digest
	if !from.complete() {
		if from.Offset > 0 && req.Resumed != nil {
			if err := req.Resumed(from.Offset); err != nil {
				return ingest.Staged{}, err
			}
		}
		if digest, err = s.copy(ctx, f, req, from, h); err != nil {
			return ingest.Staged{}, err
		}
	}
	return ingest.Staged{Path: f.data(), Size: req.Size, SHA256: digest, ResumedFrom: from.Offset}, nil
}

// copy fetches the bytes after the checkpoint and returns the digest.
func (s *Staging) copy(ctx context.Context, f folder, req ingest.Fetch, from checkpoint, h hash.Hash) (string, error) {
	data, err := s.openData(f, from.Offset, req.Size)
	if err != nil {
		return "", err
	}
	defer func() { _ = data.Close() }() // synced before
	c := &copying{
		cfg: s.cfg, req: req, data: data, hash: h, version: from.Version, offset: from.Offset,
		saver: &saver{folder: f, data: data, begun: from.Offset, failpoint: s.failpoint},
	}
	c.progress()
	if err := c.run(ctx); err != nil {
		return "", c.keep(err)
	}
	return c.finish()
}

// copying is the state of one Fetch.
type copying struct {
	cfg     Config
	req     ingest.Fetch
	data    *os.File
	hash    hash.Hash
	version version
	// offset is the number of written and hashed bytes.
	offset int64
	saver  *saver
	pace   *pace
}

// run copies until all bytes are written or an error ends it.
func (c *copying) run(ctx context.Context) error {
	p := newPipeline(c.req.Source, c.offset, c.req.Size, c.cfg.ChunkSize, c.cfg.Window, c.cfg.ReadAhead)
	defer p.close(c.cfg.DrainTimeout)
	saveTick := time.NewTicker(c.cfg.CheckpointInterval)
	defer saveTick.Stop()
	answerTimeout := cmp.Or(c.req.AnswerTimeout, c.cfg.AnswerTimeout)
	stalled := time.NewTimer(answerTimeout)
	defer stalled.Stop()
	c.pace = newPace(c.req.MinRate, c.cfg.PaceWindow)
	for head := p.head(); head != nil; head = p.head() {
		if err := c.await(ctx, head, saveTick.C, stalled.C); err != nil {
			return err
		}
		if err := c.take(head); err != nil {
			return err
		}
		p.release()
		if err := c.pace.took(head.n); err != nil {
			return err
		}
		stalled.Reset(answerTimeout)
	}
	return nil
}

// await waits for the chunk's read, and handles checkpoints and time limits
// meanwhile.
func (c *copying) await(ctx context.Context, head *chunk, saveTick, stalled <-chan time.Time) error {
	over := c.pace.wait()
	for {
		select {
		case <-head.done:
			c.pace.arrived()
			return nil
		case <-over:
			c.pace.arrived()
			if err := c.pace.took(0); err != nil {
				return err
			}
			over = c.pace.wait()
		case <-ctx.Done():
			return fmt.Errorf("fetch ended at byte %d of %d: %w", c.offset, c.req.Size, ctx.Err())
		case <-c.req.Stop:
			return ingest.ErrStopped
		case <-stalled:
			c.pace.arrived()
			return c.pace.stalled(ingest.Errorf(ingest.KindTransient, "received no data for %s at byte %d of %d: the connection is closed and reopened"+slowHint, cmp.Or(c.req.AnswerTimeout, c.cfg.AnswerTimeout), c.offset, c.req.Size))
		case err := <-c.saver.running:
			if err := c.saver.ended(err); err != nil {
				return err
			}
		case <-saveTick:
			if c.saver.running != nil {
				continue // waiting for a slow disk would look like a stalled source
			}
			if err := c.save(); err != nil {
				return err
			}
		}
	}
}

// take writes and hashes the bytes of a completed read.
func (c *copying) take(head *chunk) error {
	if err := head.check(); err != nil {
		return err
	}
	if _, err := c.data.WriteAt(head.bytes(), head.off); err != nil {
		return diskError(err, "write staged data")
	}
	c.hash.Write(head.bytes()) // a hash never fails
	c.offset += int64(head.n)
	c.progress()
	// One chunk early, so that half of CheckpointBytes is never exceeded.
	if c.offset-c.saver.begun+int64(c.cfg.ChunkSize) > c.cfg.CheckpointBytes/2 {
		return c.save()
	}
	return nil
}

// check returns an error unless the read returned all requested bytes. io.ReaderAt
// requires an error otherwise, but a broken source must not shift bytes.
//
// Past the end only a returned byte proves that the file is longer. A failure, or
// no data, means the end: see activities.boundedFile.
func (c *chunk) check() error {
	switch {
	case c.past && c.n == 1:
		return ingest.Errorf(ingest.KindChanged, "the server reports %d bytes, but the file is longer", c.off)
	case c.past && c.n == 0 && (c.err == nil || errors.Is(c.err, io.EOF)):
		return nil
	case c.past && c.n == 0:
		return fmt.Errorf("read at the end, byte %d: %w", c.off, c.err)
	case c.n == len(c.buf) && (c.err == nil || errors.Is(c.err, io.EOF)):
		return nil
	case c.n < 0 || c.n > len(c.buf) || c.err == nil:
		return fmt.Errorf("invalid source: a read of %d bytes at %d returned %d without an error", len(c.buf), c.off, c.n)
	case errors.Is(c.err, io.EOF):
		return ingest.Errorf(ingest.KindChanged, "remote file shrank while it was read: it ends at byte %d", c.off+int64(c.n))
	default:
		return fmt.Errorf("read %d bytes at %d: %w", len(c.buf), c.off, c.err)
	}
}

// progress reports the offset to the caller.
func (c *copying) progress() {
	if c.req.Progress != nil {
		c.req.Progress(c.offset)
	}
}

// save starts a checkpoint of the written bytes, unless it exists. It waits for
// the previous one, so that a kill costs at most CheckpointBytes.
func (c *copying) save() error {
	if c.offset == c.saver.begun {
		return nil
	}
	cp, err := snapshot(c.version, c.offset, c.hash)
	if err != nil {
		return err
	}
	cp.Origin = c.req.Origin
	return c.saver.begin(cp)
}

// keep saves the progress of a copy that ended with cause, and returns cause.
func (c *copying) keep(cause error) error {
	err := c.save()
	if err == nil {
		err = c.saver.wait()
	}
	if err != nil && !errors.Is(cause, err) {
		return fmt.Errorf("%w (and the last checkpoint failed: %w)", cause, err)
	}
	return cause
}

// finish saves the last checkpoint and returns the digest.
func (c *copying) finish() (string, error) {
	cp, err := finish(c.version, c.hash)
	if err != nil {
		return "", err
	}
	cp.Origin = c.req.Origin
	if err := c.saver.begin(cp); err != nil {
		return "", err
	}
	return cp.Digest, c.saver.wait()
}
