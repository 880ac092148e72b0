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

// Proxy is a network line to a service of this machine that can be made bad.
type Proxy struct {
	t     *testing.T
	proxy *toxiproxy.Proxy
	meter *meter

	// Host and Port are where to connect to instead of the service.
	Host string
	Port int
}

// NewProxy puts a line before host:port. It is good until told otherwise.
func NewProxy(t *testing.T, host string, port int) *Proxy {
	t.Helper()
	l := &Proxy{t: t, Host: "127.0.0.1", meter: newMeter(t, joined(host, port))}
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	l.proxy = toxiproxy.NewProxy(server, "line", joined("127.0.0.1", services.FreePort(t)), l.meter.listener.Addr().String())
	require.NoError(t, l.proxy.Start())
	t.Cleanup(l.proxy.Stop)
	_, text, err := net.SplitHostPort(l.proxy.Listen)
	require.NoError(t, err)
	l.Port, err = strconv.Atoi(text)
	require.NoError(t, err)
	return l
}

// joined is host:port.
func joined(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

// Address is host:port of the line.
func (l *Proxy) Address() string { return joined(l.Host, l.Port) }

// Spoil adds a toxic to what the service sends, e.g. "bandwidth" with rate in
// KiB per second, "latency" with latency in ms, "limit_data" with bytes,
// "timeout" with timeout 0 for a black hole, "reset_peer", "slicer".
func (l *Proxy) AddToxic(toxic string, attributes map[string]int) {
	l.spoil(toxic, "downstream", attributes)
}

// SpoilUp is Spoil for what is sent to the service.
func (l *Proxy) AddToxicUp(toxic string, attributes map[string]int) {
	l.spoil(toxic, "upstream", attributes)
}

func (l *Proxy) spoil(toxic, stream string, attributes map[string]int) {
	l.t.Helper()
	var parts []string
	for name, value := range attributes {
		parts = append(parts, fmt.Sprintf("%q:%d", name, value))
	}
	_, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(
		`{"name":%q,"type":%q,"stream":%q,"attributes":{%s}}`, toxic, toxic, stream, strings.Join(parts, ","))))
	require.NoError(l.t, err)
}

// Mend takes a toxic away again.
func (l *Proxy) RemoveToxic(toxic string) {
	l.t.Helper()
	require.NoError(l.t, l.proxy.Toxics.RemoveToxic(l.t.Context(), toxic))
}

// HoldAfter lets so many more bytes of the service pass, and further ones after
// release, which may be called more than once: what needs more is still
// unfinished then, however slow the machine is.
func (l *Proxy) HoldAfter(bytes int64) (release func()) {
	release = l.meter.holdAfter(bytes)
	l.t.Cleanup(release)
	return release
}

// Cut ends every connection and refuses new ones.
func (l *Proxy) Cut() { l.proxy.Stop() }

// Restore takes connections again, on the same port.
func (l *Proxy) Restore() {
	l.t.Helper()
	require.NoError(l.t, l.proxy.Start())
}

// Blink ends every connection; new ones are taken at once.
func (l *Proxy) CutConnections() {
	l.Cut()
	l.Restore()
}

// Sent is how many bytes the service was sent.
func (l *Proxy) Sent() int64 { return l.meter.sent.Load() }

// Connections is how many connections to the service stand now.
func (l *Proxy) Connections() int { return l.meter.connections() }

// Received is how many bytes the service has sent.
func (l *Proxy) Received() int64 { return l.meter.received.Load() }
