package transfer

import (
	"io"
	"sync"
	"time"
)

// chunk is one read of known length. Between issue and done only the reading
// goroutine touches it, afterwards only the consumer.
type chunk struct {
	off  int64
	buf  []byte // exactly the bytes asked for
	n    int
	err  error
	done chan struct{} // receives once when the read has ended
}

// pipeline keeps several reads of a source outstanding and hands their results
// out in order of offset. Its methods are for one consumer.
//
// Every read has an explicit length that ends at or before end, so the source
// is never asked for a byte past the version's size, and a read that gives less
// than asked cannot go unnoticed.
type pipeline struct {
	source    io.ReaderAt
	next, end int64
	slots     []chunk // chunk k of the copy uses slot k modulo len(slots)
	issued    int
	taken     int
	jobs      chan *chunk
	readers   sync.WaitGroup
}

// newPipeline starts reading [start, end) in chunks of size bytes, with at most
// window reads outstanding. The caller must close it.
func newPipeline(source io.ReaderAt, start, end int64, size, window int) *pipeline {
	if chunks := (end - start + int64(size) - 1) / int64(size); chunks < int64(window) {
		window = int(chunks)
	}
	p := &pipeline{
		source: source, next: start, end: end,
		slots: make([]chunk, window),
		jobs:  make(chan *chunk, window),
	}
	for i := range p.slots {
		// The last chunk may be shorter, but which slot it gets is not known yet.
		p.slots[i] = chunk{buf: make([]byte, min(int64(size), end-start)), done: make(chan struct{}, 1)}
		p.issue()
		p.readers.Go(p.read)
	}
	return p
}

// issue asks for the next chunk, if there is one and its slot is free.
func (p *pipeline) issue() {
	if p.next >= p.end {
		return
	}
	c := &p.slots[p.issued%len(p.slots)]
	c.off, c.buf = p.next, c.buf[:min(int64(cap(c.buf)), p.end-p.next)]
	p.next += int64(len(c.buf))
	p.issued++
	p.jobs <- c // never blocks: there is a place for every slot
}

// read is a reader goroutine.
func (p *pipeline) read() {
	for c := range p.jobs {
		c.n, c.err = p.source.ReadAt(c.buf, c.off)
		c.done <- struct{}{}
	}
}

// head returns the oldest chunk not yet released, or nil at the end. The
// consumer waits for its done before it looks into it.
func (p *pipeline) head() *chunk {
	if p.taken == p.issued {
		return nil
	}
	return &p.slots[p.taken%len(p.slots)]
}

// release gives the head's buffer back for the next read.
func (p *pipeline) release() {
	p.taken++
	p.issue()
}

// close ends the readers and waits for those under way, at most for patience.
// A read that hangs ends when the caller closes the source; until then it owns
// its buffer, which no other pipeline shares.
func (p *pipeline) close(patience time.Duration) {
	close(p.jobs)
	for range p.jobs { // what no reader has begun need not be read
	}
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
}
