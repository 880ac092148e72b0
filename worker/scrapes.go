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

	"stevedore/internal/admin"
	"stevedore/internal/config"
	"stevedore/internal/ingest"
	"stevedore/internal/telemetry"
)

const (
	// askTimeout bounds how long the ledger is asked whose token it is.
	askTimeout = 5 * time.Second
	// trusted is how long a token that was good stays so while the ledger cannot
	// be asked: that is when metrics are needed most.
	trusted = time.Hour

	scrapeReadTimeout = 5 * time.Second
	scrapeTimeout     = 15 * time.Second
)

// listen returns a listener on the address, nil when there is none.
func listen(ctx context.Context, address string) (net.Listener, error) {
	if address == "" {
		return nil, nil
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, ingest.Wrap(ingest.KindInvalid, err,
			"cannot listen on %s: set STEVEDORE_WORKER_METRICS_ADDR to an address that is free, or to nothing", address)
	}
	return listener, nil
}

// scrapes returns what serves /metrics, to those who have a token, /livez and
// /readyz.
func scrapes(cfg config.Config, w *world, metrics *telemetry.Worker, log *slog.Logger) http.Handler {
	ops := admin.New(admin.Deps{Ledger: admin.Opened[admin.Ledger](w.store), Checks: w.checks()})
	g := &gate{bootstrap: cfg.API.Token.Reveal(), now: time.Now, ask: ops.Authenticate}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"status":"alive"}`+"\n")
	})
	mux.Handle("GET /readyz", &readiness{ask: ops.Ready, recognized: g, now: time.Now, log: log})
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
			log.ErrorContext(r.Context(), "cannot tell the metrics", "error", err)
			http.Error(w, "the metrics cannot be told: the worker's log says why", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", telemetry.ContentType)
		_, _ = w.Write(text)
	})
	return mux
}

// serveScrapes answers until stop is called.
func serveScrapes(ctx context.Context, listener net.Listener, handler http.Handler, log *slog.Logger) (stop func()) {
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: scrapeReadTimeout, ReadTimeout: scrapeReadTimeout, WriteTimeout: scrapeTimeout,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	log.InfoContext(ctx, "worker serves metrics", "address", listener.Addr().String())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.ErrorContext(ctx, "metrics are not served any more", "error", err)
		}
	})
	return func() {
		_ = server.Close() // scrapes come again
		serving.Wait()
	}
}

// gate lets in whoever has a token, of any role: all may read.
type gate struct {
	// bootstrap is the token of the configuration; may be empty.
	bootstrap string
	// ask returns whose token it is, or admin.TokenRefused.
	ask func(ctx context.Context, secret string) (ingest.Principal, error)
	now func() time.Time

	mu sync.Mutex
	// good holds when tokens, by digest, were last said to be good.
	good map[[sha256.Size]byte]time.Time
	// strangers bounds how often the ledger is asked about tokens that are not among
	// them: anybody may send some.
	strangers *rate.Limiter
}

const (
	strangersRate  = 1
	strangersBurst = 30
)

// mayAsk reports whether the ledger may be asked about the token.
func (g *gate) mayAsk(digest [sha256.Size]byte) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.strangers == nil {
		g.strangers = rate.NewLimiter(strangersRate, strangersBurst)
	}
	_, known := g.good[digest]
	return known || g.strangers.AllowN(g.now(), 1)
}

var errNoToken = errors.New("send the header `Authorization: Bearer <token>`; `stevedore token create --role viewer` makes one")

// check returns why a request is refused, and with which status.
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
	ctx, cancel := context.WithTimeout(r.Context(), askTimeout)
	defer cancel()
	principal, err := g.ask(ctx, secret)
	refused := errors.As(err, &admin.TokenRefused{})
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case err == nil && principal.Role.Allows(ingest.RoleViewer):
		if g.good == nil {
			g.good = map[[sha256.Size]byte]time.Time{}
		}
		g.good[digest] = g.now()
		return http.StatusOK, nil
	case err == nil:
		return http.StatusForbidden, errors.New("this needs a token with the role viewer")
	case refused:
		delete(g.good, digest)
		return http.StatusUnauthorized, err
	case g.now().Sub(g.good[digest]) < trusted:
		return http.StatusOK, nil
	default:
		return http.StatusServiceUnavailable, errors.New("the ledger, which knows the tokens, does not answer")
	}
}

// watch has the state of the adapters among the metrics.
func (w *world) watch(metrics *telemetry.Worker) {
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
