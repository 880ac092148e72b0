package worker

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"stevedore/internal/access"
	"stevedore/internal/config"
	"stevedore/internal/ingest"
	"stevedore/internal/operations"
	"stevedore/internal/telemetry"
)

const (
	// authTimeout bounds the look-up of a token in the ledger.
	authTimeout = 5 * time.Second
	// trusted is how long an accepted token stays accepted while the ledger is
	// down: metrics are needed most during an outage.
	trusted = time.Hour

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
	ops := operations.New(operations.Deps{Checks: w.checks()})
	tokens := access.New(func(context.Context) (access.Ledger, error) { return w.store, nil })
	g := &gate{bootstrap: cfg.API.Token.Reveal(), now: time.Now, ask: tokens.Authenticate}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"status":"alive"}`+"\n")
	})
	mux.Handle("GET /readyz", &readiness{ask: ops.Ready, gate: g, now: time.Now, log: log})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		if status, why := g.check(r); why != nil {
			if status == http.StatusUnauthorized {
				w.Header().Set("WWW-Authenticate", `Bearer realm="stevedore"`)
			}
			http.Error(w, why.Error(), status)
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

// gate admits requests with a valid token of any role: every role may read.
type gate struct {
	// bootstrap is STEVEDORE_TOKEN; may be empty.
	bootstrap string
	// ask returns the owner of a token, or access.ErrRefused.
	ask func(ctx context.Context, digest access.Digest) (ingest.Principal, error)
	now func() time.Time

	mu sync.Mutex
	// accepted holds the time of the last successful check by the digest of a token.
	accepted map[[sha256.Size]byte]time.Time
	// unknown limits look-ups of tokens that were never accepted, so that guessing
	// does not load the ledger.
	unknown *rate.Limiter
}

// The limit of look-ups of unknown tokens: per second, and in a burst.
const (
	unknownTokenRate  = 1
	unknownTokenBurst = 30
)

// mayAsk reports whether the token may be looked up in the ledger now.
func (g *gate) mayAsk(digest [sha256.Size]byte) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.unknown == nil {
		g.unknown = rate.NewLimiter(unknownTokenRate, unknownTokenBurst)
	}
	_, known := g.accepted[digest]
	return known || g.unknown.AllowN(g.now(), 1)
}

var errNoToken = errors.New("send the header `Authorization: Bearer <token>`; `stevedore token create --role viewer` makes one")

// check returns nil and 200 for an admitted request, else the reason and the HTTP
// status of the refusal.
func (g *gate) check(r *http.Request) (status int, why error) {
	scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	secret = strings.TrimSpace(secret)
	if !strings.EqualFold(scheme, "Bearer") || secret == "" {
		return http.StatusUnauthorized, errNoToken
	}
	digest, bootstrap := sha256.Sum256([]byte(secret)), sha256.Sum256([]byte(g.bootstrap))
	if g.bootstrap != "" && subtle.ConstantTimeCompare(digest[:], bootstrap[:]) == 1 {
		return http.StatusOK, nil
	}
	if !g.mayAsk(digest) {
		return http.StatusTooManyRequests, errors.New("too many unknown tokens: wait a second")
	}
	ctx, cancel := context.WithTimeout(r.Context(), authTimeout)
	defer cancel()
	principal, err := g.ask(ctx, digest)
	refused := errors.Is(err, access.ErrRefused)
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case err == nil && principal.Role.Allows(ingest.RoleViewer):
		if g.accepted == nil {
			g.accepted = map[[sha256.Size]byte]time.Time{}
		}
		g.accepted[digest] = g.now()
		return http.StatusOK, nil
	case err == nil:
		return http.StatusForbidden, errors.New("this needs a token with the role viewer")
	case refused:
		delete(g.accepted, digest)
		return http.StatusUnauthorized, err
	case g.now().Sub(g.accepted[digest]) < trusted:
		return http.StatusOK, nil
	default:
		return http.StatusServiceUnavailable, errors.New("cannot check the token: the ledger is not available")
	}
}

// watch adds the state of the adapters to the metrics.
func (w *adapters) watch(metrics *telemetry.Worker) {
	metrics.WatchPool(func() (telemetry.Pool, bool) {
		s := w.store.PoolStats()
		return telemetry.Pool{
			InUse: s.InUse, Idle: s.Idle, Max: s.Max, Acquires: s.Acquires, Waited: s.Waited, WaitSeconds: s.WaitTime.Seconds(),
		}, true
	})
	metrics.WatchStaging(func() telemetry.Staging {
		u, err := w.staging.Usage()
		if err != nil || w.staging.Check() != nil {
			return telemetry.Staging{}
		}
		return telemetry.Staging{Up: true, Size: u.Size, Free: u.Free, InUse: u.InUse, Files: u.Files}
	})
}
