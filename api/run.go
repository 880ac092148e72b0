package api

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"stevedore/internal/config"
	"stevedore/internal/ingest"
	"stevedore/internal/orchestrator"
	"stevedore/internal/telemetry"
	"stevedore/internal/wiring"
)

const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	writeTimeout      = 30 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
	// shutdownTimeout bounds running requests when the service stops.
	shutdownTimeout = 10 * time.Second
)

// Run serves the API on cfg.API.Addr until ctx ends. It also starts while dependencies are
// down; /readyz reports them. The version becomes a label of stevedore_build_info.
func Run(ctx context.Context, cfg config.Config, log *slog.Logger, version string) error {
	if err := cfg.Validate(config.ComponentAPI); err != nil {
		return err
	}
	listener, err := listen(ctx, cfg.API.Addr)
	if err != nil {
		return err
	}
	parts, deps, err := open(ctx, cfg, log, version)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer parts.Close()
	deps.Metrics.WatchPool(func() (telemetry.Pool, bool) { return telemetry.Pool(parts.Pool()), true })
	deps.Token, deps.Stopping, deps.TrustedProxies = cfg.API.Token.Reveal(), ctx.Done(), cfg.API.TrustedProxies
	deps.TemporalUI, deps.S3Console = temporalUI(cfg), cfg.Client.S3Console.Reveal()
	log.InfoContext(ctx, "api listens", "address", listener.Addr().String())
	return serve(ctx, listener, NewHandler(deps), log)
}

// open opens the parts and returns them with the dependencies that do not differ between
// Run and ServePrivately.
func open(ctx context.Context, cfg config.Config, log *slog.Logger, version string) (*wiring.Parts, Deps, error) {
	metrics, err := telemetry.NewAPI(version)
	if err != nil {
		return nil, Deps{}, err
	}
	parts, err := wiring.New(cfg, log, wiring.Options{StatementTimeout: statementTimeout, Metrics: metrics.Temporal()})
	if err != nil {
		return nil, Deps{}, err
	}
	if err := refuseForeignKeyset(ctx, parts, cfg.Credentials.KeysetFile, log); err != nil {
		parts.Close()
		return nil, Deps{}, err
	}
	return parts, Deps{Operations: parts.Operations(), Access: parts.Access(), Log: log, Metrics: metrics, Version: version}, nil
}

// ServePrivately serves the API on a loopback address with a one-time token for one
// caller, whom the audit log names actor, until stop is called.
func ServePrivately(ctx context.Context, cfg config.Config, log *slog.Logger, version, actor string) (url, token string, stop func(), err error) {
	listener, err := listen(ctx, "127.0.0.1:0")
	if err != nil {
		return "", "", nil, err
	}
	parts, deps, err := open(ctx, cfg, log, version)
	if err != nil {
		return "", "", nil, errors.Join(err, listener.Close())
	}
	deps.Token, deps.TokenName = rand.Text(), actor
	ctx, cancel := context.WithCancel(ctx)
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := serve(ctx, listener, NewHandler(deps), log); err != nil {
			log.ErrorContext(ctx, "the private API failed", "error", err)
		}
	}()
	return "http://" + listener.Addr().String(), deps.Token, func() {
		cancel()
		<-served
		parts.Close()
	}, nil
}

// statementTimeout bounds an SQL statement; it is below handlerTimeout.
const statementTimeout = 25 * time.Second

// keysetTimeout bounds the check of the keyset at start: the ledger may be down.
const keysetTimeout = 10 * time.Second

// refuseForeignKeyset returns an error if the keyset file is not the ledger's. While the
// ledger is down the check is skipped: it runs again before credentials are encrypted.
func refuseForeignKeyset(ctx context.Context, parts *wiring.Parts, file string, log *slog.Logger) error {
	if file == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, keysetTimeout)
	defer cancel()
	err := parts.CheckKeyset(ctx)
	if ingest.IsKind(err, ingest.KindInvalid) {
		return err
	}
	if err != nil {
		log.WarnContext(ctx, "the keyset file was not checked", "error", err)
	}
	return nil
}

// temporalUI returns the address of the namespace in Temporal's Web UI, or "".
func temporalUI(cfg config.Config) string {
	base := strings.TrimSuffix(cfg.Client.TemporalUI.Reveal(), "/")
	if base == "" {
		return ""
	}
	return base + "/namespaces/" + url.PathEscape(orchestrator.Namespace(cfg))
}

func listen(ctx context.Context, address string) (net.Listener, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, ingest.Errorf(ingest.KindInvalid, "%s is in use by another program: stop it or set STEVEDORE_API_ADDR to a free address", address)
	case errors.Is(err, syscall.EACCES):
		return nil, ingest.Errorf(ingest.KindInvalid, "this user may not listen on %s: set STEVEDORE_API_ADDR to a port above 1023", address)
	case err != nil:
		return nil, ingest.Wrap(ingest.KindInvalid, err, "cannot listen on %s: check STEVEDORE_API_ADDR", address)
	}
	return listener, nil
}

// serve serves requests until ctx ends, then waits for running ones.
func serve(ctx context.Context, listener net.Listener, handler http.Handler, log *slog.Logger) error {
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve the API: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		log.WarnContext(ctx, "some requests were aborted", "error", err)
		return server.Close()
	}
	return nil
}
