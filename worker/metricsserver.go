package worker

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"stevedore/api/web"
	"stevedore/internal/access"
	"stevedore/internal/config"
	"stevedore/internal/ingest"
	"stevedore/internal/operations"
	"stevedore/internal/telemetry"
)

const (
	// authTimeout bounds the lookup of a token in the ledger.
	authTimeout = 5 * time.Second
	// trustFor is the time for which a token stays accepted while the ledger is down: metrics are
	// needed most during an outage.
	trustFor = time.Hour

	scrapeReadTimeout = 5 * time.Second
	scrapeTimeout     = 15 * time.Second
)

// listen returns a listener on the address, or nil for an empty one.
func listen(ctx context.Context, address string) (net.Listener, error) {
	if address == "" {
		return nil, nil
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, ingest.Wrap(ingest.KindInvalid, err,
			"cannot listen on %s: set STEVEDORE_WORKER_METRICS_ADDR to a free address, or leave it empty to serve no metrics", address)
	}
	return listener, nil
}

// metricsHandler serves /livez, /readyz and, to requests with a token, /metrics.
func metricsHandler(cfg config.Config, w *adapters, metrics *telemetry.Worker, log *slog.Logger) http.Handler {
	guard := access.NewGuard(access.GuardConfig{
		Access: access.New(w.store, log),
		Token:  cfg.API.Token.Reveal(), TrustFor: trustFor,
	})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"status":"alive"}`+"\n")
	})
	ready := &web.Readiness{
		Ask:      func(ctx context.Context) []operations.PartStatus { return operations.RunChecks(ctx, w.checks()) },
		Required: func(string) bool { return true }, Now: time.Now, Log: log,
	}
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		_ = ready.Write(r.Context(), w, func() error { return authorize(r, guard) }) // fails only when the client is gone
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		if err := authorize(r, guard); err != nil {
			refuse(w, err)
			return
		}
		text, err := metrics.Text()
		if err != nil {
			log.ErrorContext(r.Context(), "cannot collect metrics", "error", err)
			http.Error(w, "cannot collect metrics; see the worker's log", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", telemetry.ContentType)
		_, _ = w.Write(text)
	})
	return mux
}

// serveMetrics serves the handler on the listener until stop is called.
func serveMetrics(ctx context.Context, listener net.Listener, handler http.Handler, log *slog.Logger) (stop func()) {
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: scrapeReadTimeout, ReadTimeout: scrapeReadTimeout, WriteTimeout: scrapeTimeout,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	log.InfoContext(ctx, "worker serves metrics", "address", listener.Addr().String())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.ErrorContext(ctx, "metrics server failed", "error", err)
		}
	})
	return func() {
		_ = server.Close() // without draining: Prometheus scrapes again
		serving.Wait()
	}
}

// refuse writes the response to a request without a valid token.
func refuse(w http.ResponseWriter, err error) {
	status, message := web.Status(err), err.Error()
	if status >= http.StatusInternalServerError { // the error may contain addresses
		message = "cannot check the token: the ledger is not available"
	}
	web.SetHeaders(w.Header(), err)
	http.Error(w, message, status)
}

// authorize returns an error for a request without a valid token of any role.
func authorize(r *http.Request, guard *access.Guard) error {
	ctx, cancel := context.WithTimeout(r.Context(), authTimeout)
	defer cancel()
	principal, err := web.Principal(r.WithContext(ctx), guard)
	if err == nil && !principal.Role.Allows(ingest.RoleViewer) {
		return web.Refuse(http.StatusForbidden, "this needs a token with the role viewer")
	}
	return err
}

// watch adds the state of the adapters to the metrics.
func (w *adapters) watch(metrics *telemetry.Worker) {
	metrics.WatchPool(func() (telemetry.Pool, bool) { return telemetry.Pool(w.store.PoolStats()), true })
	metrics.WatchStaging(func() telemetry.Staging {
		u, err := w.staging.Usage()
		if err != nil || w.staging.Check() != nil {
			return telemetry.Staging{}
		}
		return telemetry.Staging{Up: true, Size: u.Size, Free: u.Free, InUse: u.InUse, Files: u.Files}
	})
}
