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

// wire forwards bytes between a client and a service, and cuts a connection at a moment
// determined by the client's data.
type wire struct {
	listener net.Listener
	target   string
	// next, if not nil, decides on client data that contains mark.
	mark []byte
	next func(occurrence int32) severing
	// seen counts client sends with mark, cuts the cut connections.
	seen, cuts atomic.Int32
	// listening counts how often the service has sent the text.
	listening map[string]*atomic.Int32

	mu   sync.Mutex
	open map[net.Conn]struct{}
	busy sync.WaitGroup
}

// severing is the position of a cut.
type severing int

const (
	// pass does not cut.
	pass severing = iota
	// cutBefore cuts before the service receives the data.
	cutBefore
	// cutAfter cuts after the service has processed the data, before the client gets the
	// response.
	cutAfter
)

// newWire starts a wire to the service of a URL and returns the URL of the wire. It
// counts how often the service sends each of the texts.
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

// newBrokerWire is newWire to the broker, without heartbeats. The broker then tolerates a
// suspended worker, and the wire sees only responses.
func newBrokerWire(t *testing.T, h *sandbox.Cluster, next func(occurrence int32) severing) (*wire, string) {
	t.Helper()
	u, err := url.Parse(h.AMQP.URL)
	require.NoError(t, err)
	u.RawQuery = "heartbeat=0"
	return newWire(t, u.String(), notificationMark, next)
}

// heard returns how often the service has sent the text.
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

// down waits for the service's response before it cuts, so that the service has executed
// the request.
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
