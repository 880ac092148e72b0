package sftp

import (
	"context"
	"io"
	"time"
)

// limitsExtension is by which servers of OpenSSH's kind state their limits.
const limitsExtension = "limits@openssh.com"

// limitsTimeout bounds the wait for a server that offers its limits and does not
// state them.
const limitsTimeout = 5 * time.Second

// Limits are what a server states of itself, in bytes and open handles; 0 is no
// stated limit.
type Limits struct {
	MaxPacket, MaxRead, MaxWrite, MaxHandles uint64
}

// askLimits asks for the limits of a server that offers to state them; nil of others.
func (c *conn) askLimits() *Limits {
	if _, offered := c.client.HasExtension(limitsExtension); !offered {
		return nil
	}
	answered := make(chan *Limits, 1)
	go func() {
		answer, err := c.wire.request(packetExtended, limitsExtension)
		if err != nil || answer.kind != packetExtendedReply {
			answered <- nil
			return
		}
		answered <- answer.body.limits()
	}()
	select {
	case limits := <-answered:
		return limits
	case <-time.After(limitsTimeout):
		return nil
	}
}

// limits reads the answer; nil when it is too short.
func (f fields) limits() *Limits {
	var l Limits
	var ok bool
	for _, value := range []*uint64{&l.MaxPacket, &l.MaxRead, &l.MaxWrite, &l.MaxHandles} {
		if f, *value, ok = f.uint64(); !ok {
			return nil
		}
	}
	return &l
}

const (
	// leastRead is the smallest read that is worth a request, whatever a server states.
	leastRead = 1 << 10
	// listingHandles are kept for folders, of which few are open.
	listingHandles = 2
)

// setLimits keeps to the limits: files open at the same time, and bytes of a read.
func (c *conn) setLimits(l *Limits) {
	c.limits = l
	if l == nil {
		return
	}
	if l.MaxHandles > 0 && l.MaxHandles < 1<<16 {
		c.handles = make(chan struct{}, max(int(l.MaxHandles)-listingHandles, 1))
	}
	if l.MaxRead > 0 && l.MaxRead < 1<<20 {
		c.maxRead = max(int(l.MaxRead), leastRead)
	}
}

// takeHandle waits until the server bears one more open file. A caller that waits for
// as long as the server may be silent goes on all the same: it may hold the others.
func (c *conn) acquireHandle(ctx context.Context, wait time.Duration) (release func()) {
	if c.handles == nil {
		return func() {}
	}
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	select {
	case c.handles <- struct{}{}:
		return func() { <-c.handles }
	case <-timeout.C:
	case <-c.ended:
	case <-ctx.Done():
	}
	return func() {}
}

// readAt reads with requests of at most as many bytes as the server bears.
func (c *conn) readAt(from io.ReaderAt, p []byte, off int64) (n int, err error) {
	if c.maxRead == 0 {
		return from.ReadAt(p, off)
	}
	for n < len(p) && err == nil {
		var got int
		got, err = from.ReadAt(p[n:min(len(p), n+c.maxRead)], off+int64(n))
		n += got
	}
	return n, err
}
