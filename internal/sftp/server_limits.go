package sftp

import (
	"context"
	"io"
	"time"
)

// limitsExtension is OpenSSH's extension to report limits.
const limitsExtension = "limits@openssh.com"

// limitsTimeout bounds the wait for a server that offers the extension but does not
// reply.
const limitsTimeout = 5 * time.Second

// Limits are the limits that a server reports, in bytes and open handles; 0 means no
// limit is reported.
type Limits struct {
	MaxPacket, MaxRead, MaxWrite, MaxHandles uint64
}

// askLimits requests the server's limits; nil if it does not offer the extension.
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

// limits decodes the reply; nil if it is too short.
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
	// leastRead is the smallest read size, even if the server reports less.
	leastRead = 1 << 10
	// listingHandles is the number of handles reserved for folders.
	listingHandles = 2
)

// setLimits applies the limits to open files and to the size of reads.
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

// acquireHandle waits until the server's limit allows one more open file. It proceeds
// after the timeout anyway, because the caller itself may hold the other handles.
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

// readAt splits a read into requests of at most maxRead bytes.
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
