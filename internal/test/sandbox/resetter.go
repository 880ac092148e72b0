package sandbox

import (
	"net"
	"testing"
)

// Resetter passes connections on to a service until it resets them. Toxiproxy's
// reset_peer resets only those that are made after it was set, at their first
// bytes, and so never in the middle of a file.
type Resetter struct {
	meter *meter
	// Host and Port are where to connect to instead of the service.
	Host string
	Port int
}

// NewResetter puts one before host:port.
func NewResetter(t *testing.T, host string, port int) *Resetter {
	t.Helper()
	m := newMeter(t, joined(host, port))
	address := m.listener.Addr().(*net.TCPAddr)
	return &Resetter{meter: m, Host: "127.0.0.1", Port: address.Port}
}

// Reset ends every connection with an RST; new ones are taken at once.
func (r *Resetter) Reset() { r.meter.reset() }
