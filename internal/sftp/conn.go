package sftp

import (
	"context"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// keepaliveRequest is what OpenSSH answers, and others refuse: either is a sign of life.
const keepaliveRequest = "keepalive@openssh.com"

// maxPing bounds the look at an idle connection before it is used again, as
// KeepaliveInterval does: a server that takes longer is better reached anew.
const maxPing = 5 * time.Second

// conn is an SSH connection with its one SFTP channel.
type conn struct {
	cfg       Config
	transport *meteredConn
	ssh       *ssh.Client
	client    *sftp.Client
	wire      *wire
	// quirks are what the server was found not to do.
	behavior serverBehavior
	// limits are what the server states, nil when it does not. handles bounds open
	// files, nil without a bound; maxRead the bytes of a read, 0 without one.
	limits  *Limits
	handles chan struct{}
	maxRead int
	// spoiled is set with the first fault; such a connection is not used again.
	failed atomic.Bool
	// tired is set when no further session may use the connection; those that do
	// finish.
	draining atomic.Bool
	// sharers counts the sessions that use the connection; the pool's lock guards
	// changes.
	sessions atomic.Int32
	// ended is closed when the SSH connection has ended, for whatever reason.
	ended chan struct{}
	// watchers are this connection's own goroutines.
	watchers sync.WaitGroup
	// asking and askingPath are set while the server owes an answer to ask.
	pinging, pingingPath atomic.Bool
	// expiry ends the connection while it is idle, and used is when that began; the
	// pool's lock guards them.
	idleTimer *time.Timer
	lastUsed  time.Time
}

// kill closes the SSH connection, which ends everything that waits for the
// server. It never blocks and may be called often.
func (c *conn) kill() {
	c.failed.Store(true)
	_ = c.transport.Close()
	_ = c.ssh.Close()
}

// shared reports whether more than one session uses the connection, which then
// must not be killed for the sake of one.
func (c *conn) shared() bool { return c.sessions.Load() > 1 }

// watch starts to notice the end of the connection and its silence.
func (c *conn) watch() {
	c.watchers.Go(func() {
		_ = c.ssh.Wait()
		c.kill()
		close(c.ended)
		if c.transport.via != nil {
			c.transport.via.watchers.Wait()
		}
	})
	c.watchers.Go(c.keepAlive)
}

// keepAlive kills the connection when the server has not sent a byte for
// KeepaliveMisses intervals after it was asked to. Any byte counts as life: on
// a slow line the answer itself waits behind the data of a transfer.
func (c *conn) keepAlive() {
	tick := time.NewTicker(c.cfg.KeepaliveInterval)
	defer tick.Stop()
	asked, misses, seen := false, 0, c.transport.received.Load()
	for {
		select {
		case <-c.ended:
			return
		case <-tick.C:
			if now := c.transport.received.Load(); now != seen {
				seen, misses, asked = now, 0, false
				continue
			}
			if asked {
				misses++
			}
			if misses >= c.cfg.KeepaliveMisses {
				c.kill()
				return
			}
			asked = true
			c.ping()
		}
	}
}

// ask sends what a living server answers, and returns a channel that is closed
// with the first answer or the connection's end. Some servers never answer
// requests about the connection; all answer a request about a path. A question
// of each kind that is still open is not asked again.
func (c *conn) ping() <-chan struct{} {
	answered := make(chan struct{})
	once := sync.OnceFunc(func() { close(answered) })
	if c.pinging.CompareAndSwap(false, true) {
		c.watchers.Go(func() {
			_, _, err := c.ssh.SendRequest(keepaliveRequest, true, nil)
			c.pinging.Store(false)
			if err == nil {
				once()
			}
		})
	}
	if c.client != nil && c.pingingPath.CompareAndSwap(false, true) {
		c.watchers.Go(func() {
			_, err := c.client.Lstat(".") // answered without names: a listing may be under way
			c.pingingPath.Store(false)
			if err == nil || isReplyError(err) {
				once()
			}
		})
	}
	return answered
}

// alive reports whether the connection can be used: it was used just now, or the
// server answers. One that does not is killed by the time this returns.
func (c *conn) alive(ctx context.Context) bool {
	if time.Since(c.lastUsed) < c.cfg.FreshUse {
		return !c.failed.Load()
	}
	timeout := time.NewTimer(min(maxPing, c.cfg.KeepaliveInterval))
	defer timeout.Stop()
	select {
	case <-c.ping():
		return !c.failed.Load()
	case <-c.ended:
	case <-timeout.C:
	case <-ctx.Done():
	}
	c.kill()
	return false
}

// greetingBytes is how much of a server's first words is kept for messages.
const greetingBytes = 120

// meteredLine is a TCP connection that counts what comes in and remembers how
// it began.
type meteredConn struct {
	net.Conn
	received atomic.Int64
	// broken is set with the first error, and unread closed when reading has failed.
	broken     atomic.Bool
	readerDone chan struct{}
	readOnce   sync.Once
	// under, may be nil, is the connection that carries this one, and ends with it.
	via        *conn
	mu         sync.Mutex
	firstBytes []byte
}

func newMeteredConn(raw net.Conn, via *conn) *meteredConn {
	return &meteredConn{Conn: raw, via: via, readerDone: make(chan struct{})}
}

// drained reports whether the reader of a closed line has noticed its end. One that
// is stuck with what the server has sent before never does: x/crypto keeps two
// goroutines and up to 17 packets for ever when a log-in fails while the server goes
// on sending.
func (c *meteredConn) readerStopped() bool {
	timeout := time.NewTimer(readerStopTimeout)
	defer timeout.Stop()
	select {
	case <-c.readerDone:
		return true
	case <-timeout.C:
		return false
	}
}

// drainTime is ample for a reader that has to do nothing but notice the end.
const readerStopTimeout = 5 * time.Second

// Read implements net.Conn.
func (c *meteredConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil {
		c.broken.Store(true)
		c.readOnce.Do(func() { close(c.readerDone) })
	}
	c.received.Add(int64(n))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.firstBytes = append(c.firstBytes, p[:min(n, greetingBytes-len(c.firstBytes))]...)
	return n, err
}

// Write implements net.Conn.
func (c *meteredConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err != nil {
		c.broken.Store(true)
	}
	return n, err
}

// Close implements net.Conn.
func (c *meteredConn) Close() error {
	err := c.Conn.Close()
	if c.via != nil {
		c.via.kill()
	}
	return err
}

// greeting is the first line the server sent, or its version line if that is
// among the first bytes; empty if it said nothing.
func (c *meteredConn) greeting() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	text := string(c.firstBytes)
	if at := strings.Index(text, "SSH-"); at == 0 || at > 0 && text[at-1] == '\n' {
		text = text[at:]
	}
	line, _, _ := strings.Cut(text, "\n")
	return strings.TrimRight(line, "\r")
}
