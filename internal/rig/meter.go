package rig

import (
	"net"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// meter passes connections on to a service and counts what it sends.
type meter struct {
	listener net.Listener
	service  string
	received atomic.Int64
}

func newMeter(t *testing.T, service string) *meter {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	m := &meter{listener: listener, service: service}
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
		go m.pass(client, service, false)
		go m.pass(service, client, true)
	}
}

// pass copies until either side ends, and then ends both.
func (m *meter) pass(from, to net.Conn, counted bool) {
	defer func() { _, _ = from.Close(), to.Close() }()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if counted {
			m.received.Add(int64(n))
		}
		if _, writeErr := to.Write(buffer[:n]); err != nil || writeErr != nil {
			return
		}
	}
}
