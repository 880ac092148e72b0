package transfer

import "sync"

// DefaultReadAhead is the memory, in bytes, of the outstanding reads of all
// transfers of a worker: the full window of 32 transfers.
const DefaultReadAhead = 64 << 20

// minWindow is the number of outstanding reads that every transfer may always
// have. With a single read the connection would be idle while bytes are written.
const minWindow = 2

// ReadAhead shares memory for outstanding reads among transfers. Each transfer may
// have minWindow reads, and more up to an equal share of the total. So the memory
// is at most the total plus minWindow reads of each transfer. It never blocks and
// is safe for concurrent use. Nil is unlimited.
type ReadAhead struct {
	mu                     sync.Mutex
	total, used, transfers int64
}

// NewReadAhead returns a ReadAhead of the size in bytes; 0 means DefaultReadAhead.
func NewReadAhead(bytes int64) *ReadAhead {
	if bytes <= 0 {
		bytes = DefaultReadAhead
	}
	return &ReadAhead{total: bytes}
}

// join adds a transfer; leave removes it.
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

// take reserves a read of the size in bytes for a transfer with outstanding reads
// of that size, and reports whether it is allowed.
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

// give returns the reservation of take.
func (r *ReadAhead) give(bytes int64) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used -= bytes
}
