package worker_test

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/minio/minio-go/v7"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
)

// bucketOptions are the defaults.
var bucketOptions = minio.MakeBucketOptions{}

// throttle puts a slow line before a port, in KiB per second, and returns the
// port to use instead. Lift makes the line fast.
func throttle(t *testing.T, port, rate int) (slow int, lift func()) {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	proxy := toxiproxy.NewProxy(server, "slow", "127.0.0.1:0", fmt.Sprintf("127.0.0.1:%d", port))
	require.NoError(t, proxy.Start())
	t.Cleanup(proxy.Stop)
	_, err := proxy.Toxics.AddToxicJson(strings.NewReader(
		fmt.Sprintf(`{"name":"slow","type":"bandwidth","stream":"downstream","attributes":{"rate":%d}}`, rate)))
	require.NoError(t, err)
	_, text, err := net.SplitHostPort(proxy.Listen)
	require.NoError(t, err)
	slow, err = strconv.Atoi(text)
	require.NoError(t, err)
	return slow, func() { require.NoError(t, proxy.Toxics.RemoveToxic(t.Context(), "slow")) }
}
