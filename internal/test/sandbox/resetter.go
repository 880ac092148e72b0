package sandbox

import (
	"net"
	"testing"
)

// Resetter forwards connections to a service until Reset. Toxiproxy's reset_peer resets
// only new connections at their first bytes, and so never in the middle of a file.
type Resetter struct {
	meter *meter
	// Host and Port are the address to connect to instead of the service.
	Host string
	Port int
}

// NewResetter starts a Resetter for host:port.
func NewResetter(t *testing.T, host string, port int) *Resetter {
	t.Helper()
	m := newMeter(t, hostPort(host, port))
	address := m.listener.Addr().(*net.TCPAddr)
	return &Resetter{meter: m, Host: "127.0.0.1", Port: address.Port}
}

// Reset closes every connection with an RST. New ones are accepted immediately.
func (r *Resetter) Reset() { r.meter.reset() }
