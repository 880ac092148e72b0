package faults_test

import (
	"bytes"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"stevedore/internal/test/sandbox"
)

// wire passes bytes between a client and a service, and cuts a connection in a
// moment named by what the client sends.
type wire struct {
	listener net.Listener
	target   string
	// next, may be nil, decides about client's bytes in which mark occurs.
	mark []byte
	next func(occurrence int32) severing
	// seen counts the client's sends with mark, cuts the cut connections.
	seen, cuts atomic.Int32
	// listening counts how often the service sent the text.
	listening map[string]*atomic.Int32

	mu   sync.Mutex
	open map[net.Conn]struct{}
	busy sync.WaitGroup
}

// severing says where a connection is cut.
type severing int

const (
	// pass does not cut.
	pass severing = iota
	// cutBefore keeps what the client sends from the service.
	cutBefore
	// cutAfter lets the service do it and keeps its answer from the client.
	cutAfter
)

// newWire lays a wire to the service of a URL and returns the URL of its other
// end. It counts how often the service sends each of the texts.
func newWire(t *testing.T, service, mark string, next func(occurrence int32) severing, texts ...string) (*wire, string) {
	t.Helper()
	u, err := url.Parse(service)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w := &wire{
		listener: listener, target: u.Host, mark: []byte(mark), next: next,
		listening: map[string]*atomic.Int32{}, open: map[net.Conn]struct{}{},
	}
	for _, text := range texts {
		w.listening[text] = &atomic.Int32{}
	}
	u.Host = listener.Addr().String()
	w.busy.Go(w.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		w.hangUp()
		w.busy.Wait()
	})
	return w, u.String()
}

// newBrokerWire is newWire to the broker, without heartbeats: the broker waits for
// a worker that is frozen, and the wire sees answers only.
func newBrokerWire(t *testing.T, h *sandbox.Cluster, next func(occurrence int32) severing) (*wire, string) {
	t.Helper()
	u, err := url.Parse(h.AMQP.URL)
	require.NoError(t, err)
	u.RawQuery = "heartbeat=0"
	return newWire(t, u.String(), announcement, next)
}

// heard is how often the service sent the text.
func (w *wire) heard(text string) int32 { return w.listening[text].Load() }

func (w *wire) accept() {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", w.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		w.mu.Lock()
		w.open[client], w.open[server] = struct{}{}, struct{}{}
		w.mu.Unlock()
		var deaf atomic.Bool
		w.busy.Go(func() { w.up(server, client, &deaf) })
		w.busy.Go(func() { w.down(client, server, &deaf) })
	}
}

func (w *wire) up(server, client net.Conn, deaf *atomic.Bool) {
	defer w.close(server, client)
	buffer := make([]byte, 1<<20)
	for {
		n, err := client.Read(buffer)
		if bytes.Contains(buffer[:n], w.mark) {
			switch w.next(w.seen.Add(1)) {
			case cutBefore:
				w.cuts.Add(1)
				return
			case cutAfter:
				w.cuts.Add(1)
				deaf.Store(true)
			case pass:
			}
		}
		if _, writeErr := server.Write(buffer[:n]); err != nil || writeErr != nil {
			return
		}
	}
}

// down waits for the service's answer before it cuts, so that what the client
// asked for has been done.
func (w *wire) down(client, server net.Conn, deaf *atomic.Bool) {
	defer w.close(server, client)
	buffer := make([]byte, 1<<20)
	for {
		n, err := server.Read(buffer)
		for text, count := range w.listening {
			count.Add(int32(bytes.Count(buffer[:n], []byte(text))))
		}
		if deaf.Load() {
			return
		}
		if _, writeErr := client.Write(buffer[:n]); err != nil || writeErr != nil {
			return
		}
	}
}

func (w *wire) close(ends ...net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, end := range ends {
		_ = end.Close()
		delete(w.open, end)
	}
}

func (w *wire) hangUp() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for end := range w.open {
		_ = end.Close()
	}
}
