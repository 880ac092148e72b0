package objstore

import (
	"context"
	"errors"
	"hash"
	"io"

	"stevedore/internal/ingest"
)

// readSize is the number of bytes that are read and hashed between two checks of
// the context. It fits the processor's cache.
const readSize = 256 << 10

// buffer is the memory of one part of a staged file.
type buffer struct {
	body    []byte
	release func()
}

// load reads a part into memory and adds it to whole, if not nil. A file that ends
// early was truncated.
func (w *writer) load(ctx context.Context, number int, whole hash.Hash) (buffer, error) {
	section := w.layout.section(w.file, number)
	b, err := w.newBuffer(ctx, section.Size())
	if err != nil {
		return buffer{}, err
	}
	for at := 0; at < len(b.body); {
		next := b.body[at:min(at+readSize, len(b.body))]
		if err = ctx.Err(); err == nil {
			_, err = io.ReadFull(section, next)
		}
		if err != nil {
			b.release()
			return buffer{}, readError(err)
		}
		if whole != nil {
			whole.Write(next) // a hash never fails
		}
		at += len(next)
	}
	return b, nil
}

func readError(err error) error {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return ingest.Wrap(ingest.KindHashMismatch, err, "the staged file ended early: staged bytes changed")
	default:
		return ingest.Wrap(ingest.KindTransient, err, "the staged file cannot be read: check the staging disk")
	}
}

// newBuffer returns size bytes within the memory budget. Buffers of the usual size
// are reused.
func (s *Store) newBuffer(ctx context.Context, size int64) (buffer, error) {
	free := func() {}
	if s.memory != nil {
		release, err := s.memory.Acquire(ctx, size)
		if err != nil {
			return buffer{}, err
		}
		free = release
	}
	if size <= s.partSize/2 || size > s.partSize {
		return buffer{body: make([]byte, size), release: free}, nil
	}
	pooled, ok := s.buffers.Get().(*[]byte)
	if !ok {
		fresh := make([]byte, s.partSize)
		pooled = &fresh
	}
	return buffer{body: (*pooled)[:size], release: func() {
		s.buffers.Put(pooled)
		free()
	}}, nil
}
