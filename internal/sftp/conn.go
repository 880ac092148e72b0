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
	cfg    Config
	line   *meteredLine
	ssh    *ssh.Client
	client *sftp.Client
	wire   *wire
	// quirks are what the server was found not to do.
	quirks quirks
	// spoiled is set with the first fault; such a connection is not used again.
	spoiled atomic.Bool
	// ended is closed when the SSH connection has ended, for whatever reason.
	ended chan struct{}
	// watchers are this connection's own goroutines.
	watchers sync.WaitGroup
	// expiry ends the connection while it is idle, and used is when that began; the
	// pool's lock guards them.
	expiry *time.Timer
	used   time.Time
}

// kill closes the SSH connection, which ends everything that waits for the
// server. It never blocks and may be called often.
func (c *conn) kill() {
	c.spoiled.Store(true)
	_ = c.line.Close()
	_ = c.ssh.Close()
}

// watch starts to notice the end of the connection and its silence.
func (c *conn) watch() {
	c.watchers.Go(func() {
		_ = c.ssh.Wait()
		c.kill()
		close(c.ended)
	})
	c.watchers.Go(c.keepAlive)
}

// keepAlive kills the connection when the server has not sent a byte for
// KeepaliveMisses intervals after it was asked to. Any byte counts as life: on
// a slow line the answer itself waits behind the data of a transfer.
func (c *conn) keepAlive() {
	tick := time.NewTicker(c.cfg.KeepaliveInterval)
	defer tick.Stop()
	answered := make(chan struct{}, 1)
	asked, misses, seen := false, 0, c.line.received.Load()
	for {
		select {
		case <-c.ended:
			return
		case <-answered:
			asked = false
		case <-tick.C:
			now := c.line.received.Load()
			switch {
			case now != seen:
				seen, misses = now, 0
			case asked:
				misses++
			}
			if misses >= c.cfg.KeepaliveMisses {
				c.kill()
				return
			}
			if !asked {
				asked = true
				c.watchers.Go(func() {
					_, _, _ = c.ssh.SendRequest(keepaliveRequest, true, nil)
					answered <- struct{}{}
				})
			}
		}
	}
}

// alive reports whether the connection can be used: it was used just now, or the
// server answers.
func (c *conn) alive(ctx context.Context) bool {
	if time.Since(c.used) < c.cfg.FreshUse {
		return !c.spoiled.Load()
	}
	timeout := time.AfterFunc(min(maxPing, c.cfg.KeepaliveInterval), c.kill)
	defer timeout.Stop()
	defer context.AfterFunc(ctx, c.kill)()
	_, _, err := c.ssh.SendRequest(keepaliveRequest, true, nil)
	return err == nil && !c.spoiled.Load()
}

// greetingBytes is how much of a server's first words is kept for messages.
const greetingBytes = 120

// meteredLine is a TCP connection that counts what comes in and remembers how
// it began.
type meteredLine struct {
	net.Conn
	received atomic.Int64
	mu       sync.Mutex
	first    []byte
}

// Read implements net.Conn.
func (l *meteredLine) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	l.received.Add(int64(n))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.first = append(l.first, p[:min(n, greetingBytes-len(l.first))]...)
	return n, err
}

// greeting is the first line the server sent, or its version line if that is
// among the first bytes; empty if it said nothing.
func (l *meteredLine) greeting() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := string(l.first)
	if at := strings.Index(text, "SSH-"); at == 0 || at > 0 && text[at-1] == '\n' {
		text = text[at:]
	}
	line, _, _ := strings.Cut(text, "\n")
	return strings.TrimRight(line, "\r")
}
