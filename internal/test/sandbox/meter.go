package sandbox

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// meter passes connections on to a service and counts what goes both ways.
type meter struct {
	listener net.Listener
	service  string
	// received is what the service sent, sent what was sent to it.
	received, sent atomic.Int64

	mu sync.Mutex
	// open are the clients' ends of the connections that stand.
	open map[net.Conn]struct{}
	// limit is how much of received passes before released is closed; a nil
	// released means no limit.
	limit    int64
	released chan struct{}
}

func newMeter(t *testing.T, service string) *meter {
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

// connections is how many stand now.
func (m *meter) connections() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.open)
}

// reset ends every connection with an RST to the client instead of a FIN, as a
// machine does that has lost its memory of it.
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

// holdAfter lets so many more bytes of the service pass, and further ones after
// release.
func (m *meter) holdAfter(bytes int64) (release func()) {
	released := make(chan struct{})
	m.mu.Lock()
	defer m.mu.Unlock()
	m.limit, m.released = m.received.Load()+bytes, released
	return sync.OnceFunc(func() { close(released) })
}

// wait blocks while the total received is beyond the limit.
func (m *meter) wait(total int64) {
	m.mu.Lock()
	limit, released := m.limit, m.released
	m.mu.Unlock()
	if released != nil && total > limit {
		<-released
	}
}

// pass copies until either side ends, and then ends both.
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
