package scale_test

import (
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	// freeBytes is the number of bytes of each connection that pass a closed gate.
	// Login, listing and the first reads of a file need fewer.
	freeBytes = 64 << 10
	// trickleBytes pass every trickleEvery, so that a waiting connection is not ended by
	// the timeout of silent servers.
	trickleBytes = 8 << 10
	trickleEvery = 5 * time.Second
)

// gate delays the files of all servers until enough downloads have started. Each
// connection passes freeBytes, and the rest once the gate is open. So all downloads run
// at the same time, however slowly the machine starts them.
type gate struct {
	// enough is the number of waiting connections at which the gate opens.
	enough int64
	open   chan struct{}
	// held counts the waiting connections; the gate opens when enough wait.
	held atomic.Int64
	once sync.Once
}

func newGate(t *testing.T, enough int) *gate {
	return &gate{enough: int64(enough), open: make(chan struct{})}
}

// gatedProxy is a proxy to one server that waits for the gate.
type gatedProxy struct {
	gate     *gate
	listener net.Listener
	service  string
	// received counts the bytes that the server has sent.
	received atomic.Int64
}

// proxy starts a gatedProxy to a service and returns it with its host and port.
func (g *gate) proxy(t *testing.T, host string, port int) (d *gatedProxy, gateHost string, gatePort int) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	d = &gatedProxy{gate: g, listener: listener, service: net.JoinHostPort(host, strconv.Itoa(port))}
	go d.serve()
	address := listener.Addr().(*net.TCPAddr)
	return d, address.IP.String(), address.Port
}

func (d *gatedProxy) serve() {
	for {
		client, err := d.listener.Accept()
		if err != nil {
			return // closed with the test
		}
		service, err := net.Dial("tcp", d.service)
		if err != nil {
			_ = client.Close()
			continue
		}
		go func() {
			_, _ = io.Copy(service, client)
			_ = service.Close()
			_ = client.Close()
		}()
		go func() {
			d.pass(client, service)
			_ = service.Close()
			_ = client.Close()
		}()
	}
}

// pass copies the server's bytes. io.CopyN lets the kernel move them.
func (d *gatedProxy) pass(to, from net.Conn) {
	if !d.copy(to, from, freeBytes) {
		return
	}
	if d.gate.held.Add(1) >= d.gate.enough {
		d.gate.once.Do(func() { close(d.gate.open) })
	}
	defer d.gate.held.Add(-1)
	trickle := time.NewTicker(trickleEvery)
	defer trickle.Stop()
	for {
		select {
		case <-d.gate.open:
			for d.copy(to, from, 32<<10) { // small, because only whole copies count
			}
			return
		case <-trickle.C:
			if !d.copy(to, from, trickleBytes) {
				return
			}
		}
	}
}

// copy copies n bytes and reports whether to continue.
func (d *gatedProxy) copy(to, from net.Conn, n int64) bool {
	done, err := io.CopyN(to, from, n)
	d.received.Add(done)
	return err == nil
}
