package transfer

import (
	"io"
	"slices"
	"sync"
	"time"
)

// chunk is one read of known length. Only the reading goroutine accesses it before
// done, and only the consumer afterwards.
type chunk struct {
	off int64
	buf []byte // exactly the requested bytes
	// past marks the read past the last byte.
	past bool
	n    int
	err  error
	done chan struct{} // receives once when the read has ended
}

// pipeline keeps several reads of a source outstanding and returns their results
// in order of offset. Its methods are for one consumer.
//
// Every read has an explicit length that ends at or before end, so that a short
// read is detected. The last read requests a byte past end, because some servers
// report sizes that are too small. It is outstanding together with the reads
// before it.
type pipeline struct {
	source    io.ReaderAt
	next, end int64
	// asked reports whether the read past the end was started.
	asked  bool
	size   int
	window int
	ahead  *ReadAhead
	// outstanding are the chunks not yet released, in order of offset; spare are the
	// buffers of released ones.
	outstanding []*chunk
	spare       []*chunk
	readers     sync.WaitGroup
}

// newPipeline starts reading [start, end), and one byte past it, in chunks of size
// bytes. At most window reads are outstanding, and as many as ahead allows; nil is
// unlimited. The caller must close it.
func newPipeline(source io.ReaderAt, start, end int64, size, window int, ahead *ReadAhead) *pipeline {
	p := &pipeline{
		// A file of one chunk needs no full-size buffer.
		source: source, next: start, end: end, size: int(min(int64(size), end-start)), window: window, ahead: ahead,
	}
	ahead.join()
	p.fill()
	return p
}

// fill starts as many reads as allowed.
func (p *pipeline) fill() {
	for p.next < p.end && len(p.outstanding) < p.window && p.ahead.take(int64(p.size), len(p.outstanding)) {
		var c *chunk
		if n := len(p.spare); n > 0 {
			c, p.spare = p.spare[n-1], p.spare[:n-1]
		} else {
			c = &chunk{buf: make([]byte, p.size), done: make(chan struct{}, 1)}
		}
		c.off, c.buf = p.next, c.buf[:min(int64(p.size), p.end-p.next)]
		p.next += int64(len(c.buf))
		p.begin(c)
	}
	if p.next == p.end && !p.asked && len(p.outstanding) < p.window {
		p.asked = true
		p.begin(&chunk{off: p.end, buf: make([]byte, 1), past: true, done: make(chan struct{}, 1)}) // one byte needs no share
	}
}

func (p *pipeline) begin(c *chunk) {
	p.outstanding = append(p.outstanding, c)
	p.readers.Go(func() {
		c.n, c.err = p.source.ReadAt(c.buf, c.off)
		c.done <- struct{}{}
	})
}

// head returns the oldest chunk not yet released, or nil at the end. The consumer
// waits for done before it accesses the result.
func (p *pipeline) head() *chunk {
	if len(p.outstanding) == 0 {
		return nil
	}
	return p.outstanding[0]
}

// release returns the head's buffer for the next read. A buffer beyond the
// transfer's share is left to the garbage collector.
func (p *pipeline) release() {
	released := p.outstanding[0]
	p.outstanding = slices.Delete(p.outstanding, 0, 1)
	if released.past {
		return // the last chunk
	}
	p.spare = append(p.spare[:0], released)
	p.ahead.give(int64(p.size))
	p.fill()
}

// bytes returns the bytes of a checked read; none past the end.
func (c *chunk) bytes() []byte { return c.buf[:c.n] }

// close waits at most patience for reads in flight. A hanging read ends when the
// caller closes the source; until then it owns its buffer.
func (p *pipeline) close(patience time.Duration) {
	ended := make(chan struct{})
	go func() {
		p.readers.Wait()
		close(ended)
	}()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case <-ended:
	case <-timeout.C:
	}
	for _, c := range p.outstanding {
		if !c.past {
			p.ahead.give(int64(p.size))
		}
	}
	p.outstanding = nil
	p.ahead.leave()
}
