package amqp_test

import (
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// cable forwards connections to the broker, and can cut or jam them.
type cable struct {
	listener net.Listener
	target   string

	mu      sync.Mutex
	open    map[net.Conn]struct{}
	jammed  chan struct{} // of the connections to come; closed once those are jammed
	freed   chan struct{} // closed when the test is over
	refused bool
	running sync.WaitGroup
}

func layCable(t *testing.T, target string) *cable {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c := &cable{listener: listener, target: target, open: map[net.Conn]struct{}{}, jammed: make(chan struct{}), freed: make(chan struct{})}
	c.running.Go(c.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		close(c.freed)
		c.cut(true)
		c.running.Wait()
	})
	return c
}

func (c *cable) accept() {
	for {
		near, err := c.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", c.target)
		c.mu.Lock()
		if err != nil || c.refused {
			_ = near.Close()
			if far != nil {
				_ = far.Close()
			}
			c.mu.Unlock()
			continue
		}
		c.open[near], c.open[far] = struct{}{}, struct{}{}
		jammed := c.jammed
		c.mu.Unlock()
		c.running.Go(func() { c.carry(far, near, jammed) })
		c.running.Go(func() { c.carry(near, far, jammed) })
	}
}

func (c *cable) carry(to, from net.Conn, jammed <-chan struct{}) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		select {
		case <-jammed:
			<-c.freed
			return
		default:
		}
		if _, werr := to.Write(buf[:n]); werr != nil || err != nil {
			return
		}
	}
}

// cut closes all connections; refuse also rejects new ones.
func (c *cable) cut(refuse bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused = refuse
	for conn := range c.open {
		_ = conn.Close()
		delete(c.open, conn)
	}
}

// jam stops all traffic of the current connections without closing them.
func (c *cable) jam() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.jammed)
	c.jammed = make(chan struct{})
}
