package transfer

import (
	"io"
	"slices"
	"sync"
	"time"
)

// chunk is one read of known length. Between issue and done only the reading
// goroutine touches it, afterwards only the consumer.
type chunk struct {
	off int64
	buf []byte // exactly the bytes asked for
	// past says that it is the read behind the last byte.
	past bool
	n    int
	err  error
	done chan struct{} // receives once when the read has ended
}

// pipeline keeps several reads of a source outstanding and hands their results
// out in order of offset. Its methods are for one consumer.
//
// Every read has an explicit length that ends at or before end, so a read that
// gives less than asked cannot go unnoticed. The last one asks for a byte behind
// end: servers state sizes that are too small, and then nothing else tells that
// the file goes on. It is outstanding with the reads before it.
type pipeline struct {
	source    io.ReaderAt
	next, end int64
	// asked says that the read behind the end was begun.
	asked  bool
	size   int
	window int
	ahead  *ReadAhead
	// outstanding are the chunks not yet released, in order of offset, and spare
	// the buffers of those that are.
	outstanding []*chunk
	spare       []*chunk
	readers     sync.WaitGroup
}

// newPipeline starts reading [start, end), and the end itself, in chunks of size bytes, with at most
// window reads outstanding, and as many as ahead, may be nil, allows. The caller
// must close it.
func newPipeline(source io.ReaderAt, start, end int64, size, window int, ahead *ReadAhead) *pipeline {
	p := &pipeline{
		// The last chunk may be shorter, but a file of one chunk has no longer one.
		source: source, next: start, end: end, size: int(min(int64(size), end-start)), window: window, ahead: ahead,
	}
	ahead.join()
	p.fill()
	return p
}

// fill starts as many reads as are allowed.
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

// head returns the oldest chunk not yet released, or nil at the end. The
// consumer waits for its done before it looks into it.
func (p *pipeline) head() *chunk {
	if len(p.outstanding) == 0 {
		return nil
	}
	return p.outstanding[0]
}

// release gives the head's buffer back for the next read. A buffer that the
// share no longer covers is left to the garbage collector.
func (p *pipeline) release() {
	released := p.outstanding[0]
	p.outstanding = slices.Delete(p.outstanding, 0, 1)
	if released.past {
		return // it is the last one
	}
	p.spare = append(p.spare[:0], released)
	p.ahead.give(int64(p.size))
	p.fill()
}

// bytes are what a read that was checked has brought: all that it was to, and
// nothing behind the end.
func (c *chunk) bytes() []byte { return c.buf[:c.n] }

// close waits for reads under way, at most for patience. A read that hangs ends
// when the caller closes the source; until then it owns its buffer, which no
// other pipeline shares.
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
