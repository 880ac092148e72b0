package sandbox

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// meter forwards connections to a service and counts the bytes in both directions.
type meter struct {
	listener net.Listener
	service  string
	// received counts bytes from the service, sent bytes to it.
	received, sent atomic.Int64

	mu sync.Mutex
	// open holds the client side of open connections.
	open map[net.Conn]struct{}
	// limit is the value of received up to which data is forwarded until released is
	// closed. Without released there is no limit.
	limit    int64
	released chan struct{}
}

func newMeter(t testing.TB, service string) *meter {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	m := &meter{listener: listener, service: service, open: map[net.Conn]struct{}{}}
	t.Cleanup(func() { _ = listener.Close() })
	go m.serve()
	return m
}

func (m *meter) serve() {
	for {
		client, err := m.listener.Accept()
		if err != nil {
			return // closed with the test
		}
		service, err := net.Dial("tcp", m.service)
		if err != nil {
			_ = client.Close()
			continue
		}
		m.mu.Lock()
		m.open[client] = struct{}{}
		m.mu.Unlock()
		go m.pass(client, service, &m.sent)
		go func() {
			m.pass(service, client, &m.received)
			m.mu.Lock()
			defer m.mu.Unlock()
			delete(m.open, client)
		}()
	}
}

// connections returns the number of open connections.
func (m *meter) connections() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.open)
}

// reset closes every connection with an RST to the client instead of a FIN, like a
// machine that has rebooted.
func (m *meter) reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for client := range m.open {
		if tcp, ok := client.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = client.Close()
	}
}

// holdAfter limits data from the service to further bytes until release.
func (m *meter) holdAfter(bytes int64) (release func()) {
	released := make(chan struct{})
	m.mu.Lock()
	defer m.mu.Unlock()
	m.limit, m.released = m.received.Load()+bytes, released
	return sync.OnceFunc(func() { close(released) })
}

// wait blocks while the received total exceeds the limit.
func (m *meter) wait(total int64) {
	m.mu.Lock()
	limit, released := m.limit, m.released
	m.mu.Unlock()
	if released != nil && total > limit {
		<-released
	}
}

// pass copies until either side is closed, then closes both.
func (m *meter) pass(from, to net.Conn, count *atomic.Int64) {
	defer func() { _, _ = from.Close(), to.Close() }()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if total := count.Add(int64(n)); count == &m.received {
			m.wait(total)
		}
		if _, writeErr := to.Write(buffer[:n]); err != nil || writeErr != nil {
			return
		}
	}
}
