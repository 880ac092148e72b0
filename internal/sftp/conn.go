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

// keepaliveRequest is OpenSSH's keepalive request. Other servers refuse it, and any
// reply proves a live connection.
const keepaliveRequest = "keepalive@openssh.com"

// maxPing bounds the check of an idle connection, in addition to KeepaliveInterval. If
// the reply takes longer, a new connection is faster.
const maxPing = 5 * time.Second

// conn is an SSH connection with its one SFTP channel.
type conn struct {
	cfg       Config
	transport *meteredConn
	ssh       *ssh.Client
	client    *sftp.Client
	wire      *wire
	// behavior is the observed behavior of the server.
	behavior serverBehavior
	// limits are the limits that the server reports, nil if it reports none. handles
	// bounds open files, nil without a bound; maxRead bounds the bytes of a read
	// request, 0 without a bound.
	limits  *Limits
	handles chan struct{}
	maxRead int
	// failed is set by the first error; the connection is not used again.
	failed atomic.Bool
	// draining is set when no further session may use the connection; the open ones
	// finish.
	draining atomic.Bool
	// sessions counts the sessions on the connection; the pool's lock guards changes.
	sessions atomic.Int32
	// ended is closed when the SSH connection has ended, for any reason.
	ended chan struct{}
	// watchers are the connection's goroutines.
	watchers sync.WaitGroup
	// pinging and pingingPath are set while a request of ping is pending.
	pinging, pingingPath atomic.Bool
	// idleTimer closes the idle connection, and lastUsed is the time of its last use;
	// the pool's lock guards them.
	idleTimer *time.Timer
	lastUsed  time.Time
}

// kill closes the SSH connection, which ends all pending requests. It never blocks
// and is idempotent.
func (c *conn) kill() {
	c.failed.Store(true)
	_ = c.transport.Close()
	_ = c.ssh.Close()
}

// finishTimeout bounds how long a server may take to end the connection after finish.
const finishTimeout = 2 * time.Second

// finish ends an unused connection. The server closes it when it has ended the login: until
// then it may refuse another one because of its limit.
func (c *conn) finish() {
	c.failed.Store(true)
	half, ok := c.transport.Conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		c.kill()
		return
	}
	time.AfterFunc(finishTimeout, c.kill)
}

// shared reports whether more than one session uses the connection. A shared
// connection must not be killed for one session.
func (c *conn) shared() bool { return c.sessions.Load() > 1 }

// watch starts the goroutines that detect the end and the silence of the connection.
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

// keepAlive kills the connection if no byte arrives for KeepaliveMisses intervals
// after a keepalive request. Any byte counts, because on a slow connection the reply
// is queued behind the data of a transfer.
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

// ping sends keepalive requests and returns a channel that is closed with the first
// reply. Some servers never reply to global requests, but all reply to LSTAT. At most
// one request of each type is pending.
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
			_, err := c.client.Lstat(".") // its reply has no names, so it cannot disturb a listing
			c.pingingPath.Store(false)
			if err == nil || isReplyError(err) {
				once()
			}
		})
	}
	return answered
}

// alive reports whether the connection can be used: it was used within FreshUse, or
// the server replies to a ping. It kills a connection without a reply.
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

// greetingBytes bounds the server's first bytes that are kept for messages.
const greetingBytes = 120

// meteredConn is a net.Conn that counts received bytes and keeps the first ones.
type meteredConn struct {
	net.Conn
	received atomic.Int64
	// broken is set by the first error, and readerDone is closed by the first read error.
	broken     atomic.Bool
	readerDone chan struct{}
	readOnce   sync.Once
	// via is the connection to the jump host that carries this one, or nil. It is closed
	// together with this one.
	via        *conn
	mu         sync.Mutex
	firstBytes []byte
}

func newMeteredConn(raw net.Conn, via *conn) *meteredConn {
	return &meteredConn{Conn: raw, via: via, readerDone: make(chan struct{})}
}

// readerStopped reports whether the reader of a closed connection has got the error.
// A reader blocked on earlier packets never does: x/crypto leaks two goroutines and up
// to 17 packets if a login fails while the server continues to send.
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

// readerStopTimeout is ample for a reader that is not blocked.
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

// greeting returns the server's SSH version line if it is among the first bytes, else
// its first line. It is empty if the server sent nothing.
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
