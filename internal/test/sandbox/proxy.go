package sandbox

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"stevedore/internal/test/services"
)

// Proxy is a TCP proxy to a local service that simulates network faults.
type Proxy struct {
	proxy *toxiproxy.Proxy
	meter *meter

	// Host and Port are the address to connect to instead of the service.
	Host string
	Port int
}

// NewProxy starts a proxy for host:port without faults.
func NewProxy(t *testing.T, host string, port int) *Proxy {
	t.Helper()
	l := &Proxy{Host: "127.0.0.1", meter: newMeter(t, hostPort(host, port))}
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	l.proxy = toxiproxy.NewProxy(server, "line", hostPort("127.0.0.1", services.FreePort(t)), l.meter.listener.Addr().String())
	require.NoError(t, l.proxy.Start())
	t.Cleanup(l.proxy.Stop)
	_, text, err := net.SplitHostPort(l.proxy.Listen)
	require.NoError(t, err)
	l.Port, err = strconv.Atoi(text)
	require.NoError(t, err)
	return l
}

func hostPort(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

// Address returns host:port of the proxy.
func (l *Proxy) Address() string { return hostPort(l.Host, l.Port) }

// AddToxic adds a toxic of toxiproxy to data from the service: "bandwidth" with rate in
// KiB per second, "latency" with latency in ms, "limit_data" with bytes, "timeout" with
// timeout 0 for a black hole, "reset_peer", "slicer".
func (l *Proxy) AddToxic(t testing.TB, toxic string, attributes map[string]int) {
	l.addToxic(t, toxic, "downstream", attributes)
}

// AddToxicUp adds a toxic to data sent to the service.
func (l *Proxy) AddToxicUp(t testing.TB, toxic string, attributes map[string]int) {
	l.addToxic(t, toxic, "upstream", attributes)
}

func (l *Proxy) addToxic(t testing.TB, toxic, stream string, attributes map[string]int) {
	t.Helper()
	var parts []string
	for name, value := range attributes {
		parts = append(parts, fmt.Sprintf("%q:%d", name, value))
	}
	_, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(
		`{"name":%q,"type":%q,"stream":%q,"attributes":{%s}}`, toxic, toxic, stream, strings.Join(parts, ","))))
	require.NoError(t, err)
}

// RemoveToxic removes a toxic.
func (l *Proxy) RemoveToxic(t testing.TB, toxic string) {
	t.Helper()
	require.NoError(t, l.proxy.Toxics.RemoveToxic(t.Context(), toxic))
}

// HoldAfter forwards the given number of further bytes from the service and blocks the
// rest until release, which may be called repeatedly. It stops a transfer in the middle
// without depending on timing.
func (l *Proxy) HoldAfter(t testing.TB, bytes int64) (release func()) {
	release = l.meter.holdAfter(bytes)
	t.Cleanup(release)
	return release
}

// Cut closes every connection and refuses new ones until Restore.
func (l *Proxy) Cut() { l.proxy.Stop() }

// Restore accepts connections again, on the same port.
func (l *Proxy) Restore(t testing.TB) {
	t.Helper()
	require.NoError(t, l.proxy.Start())
}

// CutConnections closes every connection. New ones are accepted immediately.
func (l *Proxy) CutConnections(t testing.TB) {
	l.Cut()
	l.Restore(t)
}

// Sent returns the number of bytes sent to the service.
func (l *Proxy) Sent() int64 { return l.meter.sent.Load() }

// Connections returns the number of open connections to the service.
func (l *Proxy) Connections() int { return l.meter.connections() }

// Received returns the number of bytes received from the service.
func (l *Proxy) Received() int64 { return l.meter.received.Load() }
