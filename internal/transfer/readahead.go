package transfer

import "sync"

// DefaultReadAhead is the memory, in bytes, of the outstanding reads of all
// transfers of a worker: the full window of 32 transfers.
const DefaultReadAhead = 64 << 20

// minWindow is the number of outstanding reads that every transfer may have
// however many there are, so that none waits for another one: with one read
// alone the line is idle while the bytes are written.
const minWindow = 2

// ReadAhead shares memory for outstanding reads among transfers. Each transfer
// may always have minWindow reads, and more as long as it has less than its equal
// share of the total. So the memory is at most the total and minWindow reads of
// each transfer, whatever their number. It never blocks, and is safe for
// concurrent use. Nil is unlimited.
type ReadAhead struct {
	mu                     sync.Mutex
	total, used, transfers int64
}

// NewReadAhead returns a ReadAhead of so many bytes; 0 means DefaultReadAhead.
func NewReadAhead(bytes int64) *ReadAhead {
	if bytes <= 0 {
		bytes = DefaultReadAhead
	}
	return &ReadAhead{total: bytes}
}

// join counts a transfer in, and leave out again.
func (r *ReadAhead) join()  { r.count(1) }
func (r *ReadAhead) leave() { r.count(-1) }

func (r *ReadAhead) count(n int64) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.transfers += n
}

// take reserves a read of so many bytes for a transfer that has outstanding reads
// of that size, and reports whether it may be made.
func (r *ReadAhead) take(bytes int64, outstanding int) bool {
	if r == nil {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if outstanding >= minWindow {
		share := r.total / max(r.transfers, 1)
		if int64(outstanding+1)*bytes > share || r.used+bytes > r.total {
			return false
		}
	}
	r.used += bytes
	return true
}

// give returns what take has reserved.
func (r *ReadAhead) give(bytes int64) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used -= bytes
}
