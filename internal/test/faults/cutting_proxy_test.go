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

// cuttingProxy forwards bytes between a client and a service, and cuts a connection when
// the client's data contains a mark.
type cuttingProxy struct {
	listener net.Listener
	target   string
	// next, if not nil, decides on client data that contains mark.
	mark []byte
	next func(occurrence int32) cutPosition
	// seen counts client sends with mark, cuts the cut connections.
	seen, cuts atomic.Int32
	// counts counts how often the service has sent the text.
	counts map[string]*atomic.Int32

	mu   sync.Mutex
	open map[net.Conn]struct{}
	busy sync.WaitGroup
}

// cutPosition is the position of a cut.
type cutPosition int

const (
	// pass does not cut.
	pass cutPosition = iota
	// cutBefore cuts before the service receives the data.
	cutBefore
	// cutAfter cuts after the service has processed the data, before the client gets the
	// response.
	cutAfter
)

// newCuttingProxy starts a proxy to the service of a URL and returns the proxy's URL. It
// counts how often the service sends each of the texts.
func newCuttingProxy(t *testing.T, service, mark string, next func(occurrence int32) cutPosition, texts ...string) (*cuttingProxy, string) {
	t.Helper()
	u, err := url.Parse(service)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w := &cuttingProxy{
		listener: listener, target: u.Host, mark: []byte(mark), next: next,
		counts: map[string]*atomic.Int32{}, open: map[net.Conn]struct{}{},
	}
	for _, text := range texts {
		w.counts[text] = &atomic.Int32{}
	}
	u.Host = listener.Addr().String()
	w.busy.Go(w.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		w.closeAll()
		w.busy.Wait()
	})
	return w, u.String()
}

// newCuttingBrokerProxy is newCuttingProxy to the broker, without heartbeats. The broker
// then tolerates a suspended worker, and the proxy forwards only responses.
func newCuttingBrokerProxy(t *testing.T, h *sandbox.Cluster, next func(occurrence int32) cutPosition) (*cuttingProxy, string) {
	t.Helper()
	u, err := url.Parse(h.AMQP.URL)
	require.NoError(t, err)
	u.RawQuery = "heartbeat=0"
	return newCuttingProxy(t, u.String(), notificationMark, next)
}

// received returns how often the service has sent the text.
func (w *cuttingProxy) received(text string) int32 { return w.counts[text].Load() }

func (w *cuttingProxy) accept() {
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
		var cutNext atomic.Bool
		w.busy.Go(func() { w.forward(server, client, &cutNext) })
		w.busy.Go(func() { w.forwardResponses(client, server, &cutNext) })
	}
}

func (w *cuttingProxy) forward(server, client net.Conn, cutNext *atomic.Bool) {
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
				cutNext.Store(true)
			case pass:
			}
		}
		if _, writeErr := server.Write(buffer[:n]); err != nil || writeErr != nil {
			return
		}
	}
}

// forwardResponses waits for the service's response before it cuts, so that the service has executed
// the request.
func (w *cuttingProxy) forwardResponses(client, server net.Conn, cutNext *atomic.Bool) {
	defer w.close(server, client)
	buffer := make([]byte, 1<<20)
	for {
		n, err := server.Read(buffer)
		for text, count := range w.counts {
			count.Add(int32(bytes.Count(buffer[:n], []byte(text))))
		}
		if cutNext.Load() {
			return
		}
		if _, writeErr := client.Write(buffer[:n]); err != nil || writeErr != nil {
			return
		}
	}
}

func (w *cuttingProxy) close(ends ...net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, end := range ends {
		_ = end.Close()
		delete(w.open, end)
	}
}

func (w *cuttingProxy) closeAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for end := range w.open {
		_ = end.Close()
	}
}
