package orchestrator

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	sdklog "go.temporal.io/sdk/log"
)

// dialTimeout bounds the first connection, so that a wrong address is an error and does
// not block.
const dialTimeout = 10 * time.Second

// Compression of calls is off: a file needs a few kilobytes, and compressing them takes
// 6 % of a worker's CPU time for a small file.
var Compression client.GrpcCompression = &client.GrpcCompressionNone{}

// Dial connects and checks that the server responds. It reads the TEMPORAL_* variables
// from env, in production a config.Config, which includes the configuration file. metrics, which
// may be nil, receives the metrics of the client and its workers.
func Dial(ctx context.Context, env envconfig.EnvLookup, log *slog.Logger, metrics client.MetricsHandler) (client.Client, error) {
	options, err := load(env)
	if err != nil {
		return nil, fmt.Errorf("read the TEMPORAL_* variables: %w", err)
	}
	options.Logger, options.MetricsHandler = sdklog.NewStructuredLogger(log), metrics
	options.ConnectionOptions.GrpcCompression = Compression
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	c, err := client.DialContext(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("cannot reach Temporal at %s: check TEMPORAL_ADDRESS and that the server runs: %w", cmp.Or(options.HostPort, client.DefaultHostPort), err)
	}
	return c, nil
}

func load(env envconfig.EnvLookup) (client.Options, error) {
	return envconfig.LoadClientOptions(envconfig.LoadClientOptionsRequest{EnvLookup: env})
}

// Namespace returns the namespace that Dial uses.
func Namespace(env envconfig.EnvLookup) string {
	options, err := load(env)
	if err != nil {
		return client.DefaultNamespace
	}
	return cmp.Or(options.Namespace, client.DefaultNamespace)
}
