package api

import (
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"stevedore/api/console"
	"stevedore/api/openapi"
	"stevedore/api/web"
	"stevedore/internal/access"
	"stevedore/internal/operations"
	"stevedore/internal/telemetry"
)

const (
	// handlerTimeout bounds the work on a request. It is below the server's write timeout,
	// so that there is time to write the error.
	handlerTimeout = 27 * time.Second
	// streamPath is the only route whose response does not end.
	streamPath = "/api/v1/changes"
	// defaultStartTimeout is short because people wait for the response.
	defaultStartTimeout = 5 * time.Second
)

// Deps are the dependencies of the handler.
type Deps struct {
	Operations operations.Operations
	Access     access.Access
	// Token is the bootstrap admin's; it must not be empty.
	Token string
	// TokenName names the bootstrap admin in the audit log; default ingest.BootstrapToken.
	TokenName string
	Log       *slog.Logger
	// RequestsPerSecond bounds the requests of one principal; default 100, with bursts of
	// three seconds' worth.
	RequestsPerSecond float64
	// StartTimeout bounds the start of a scan until the response 202; default 5 s.
	StartTimeout time.Duration
	// TrustedProxies may name the client in X-Forwarded-For.
	TrustedProxies []netip.Prefix
	// Now is the clock of rate limits and of the check of credentials in streams; default
	// time.Now.
	Now func() time.Time
	// Stopping, may be nil, is closed when the service stops: streams end.
	Stopping <-chan struct{}
	// Version, TemporalUI and S3Console are passed to the console, see console.Deps.
	Version, TemporalUI, S3Console string
	// Metrics counts requests; default new metrics.
	Metrics *telemetry.API
}

// NewHandler returns the API and the console as an http.Handler. It panics if metrics
// cannot be registered, which is a programming error.
func NewHandler(d Deps) http.Handler {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.StartTimeout <= 0 {
		d.StartTimeout = defaultStartTimeout
	}
	if d.Metrics == nil {
		var err error
		if d.Metrics, err = telemetry.NewAPI(d.Version); err != nil {
			panic(err)
		}
	}
	programs, guard, roles := newPrograms(d)
	pages := console.New(console.Deps{
		Operations: d.Operations, Access: d.Access, Guard: guard, Roles: roles, Log: d.Log, Version: d.Version, TemporalUI: d.TemporalUI, S3Console: d.S3Console,
	}).Site()
	return web.Handler(web.Config{Log: d.Log, TrustedProxies: d.TrustedProxies, Observe: d.Metrics.Request}, func(r *http.Request) web.Site {
		if servedByAPI(r) || !readableQuery(r) {
			return programs
		}
		return pages
	})
}

// timeout returns the time limit of a request to the API, see web.Site.
func timeout(r *http.Request) (time.Duration, error) {
	switch path := r.URL.Path; {
	case path == streamPath:
		return 0, nil
	case strings.HasPrefix(path, "/api/v1/servers") && (strings.HasSuffix(path, ":test") || strings.HasSuffix(path, ":test-edit") || strings.HasSuffix(path, ":approve-host-key")):
		return operations.MaxTest, operations.ErrMaxTest
	default:
		return handlerTimeout, nil
	}
}

// newPrograms returns the API without the console, and the guard and the roles of both.
func newPrograms(d Deps) (web.Site, *access.Guard, openapi.Roles) {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.JSONSerializer = strictJSON{}
	e.HTTPErrorHandler = func(err error, c echo.Context) {
		if !c.Response().Committed {
			writeProblem(d.Log, c.Response(), c.Request(), fromEcho(err))
		}
	}
	registered := routes{EchoRouter: e, specified: map[string]string{}}
	spec := readSpecification(registered.specified)
	checked := access.NewGuard(access.GuardConfig{
		Access: d.Access, Token: d.Token, TokenName: d.TokenName, RequestsPerSecond: d.RequestsPerSecond, Now: d.Now,
	})
	digestKey := access.DigestOf(d.Token)
	e.Pre(splitAction)
	e.Use(
		refuseAmbiguousURLs,
		guard{checked, spec}.check,
		requireJSON,
		checker{spec}.check,
		repeats{requests: d.Operations, log: d.Log, digestKey: digestKey[:]}.check,
	)
	openapi.RegisterHandlers(registered, openapi.NewStrictHandler(handlers{
		Deps: d, guard: checked, ready: &web.Readiness{Ask: d.Operations.Ready, Required: operations.RequiredByAPI, Now: d.Now, Log: d.Log},
	}, nil))
	e.GET(docsAssets, getDocsAsset)
	return web.Site{
		Handler: e, Timeout: timeout,
		Fail:    func(w http.ResponseWriter, r *http.Request, err error) { writeProblem(d.Log, w, r, err) },
		Headers: map[string]string{"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'", "Referrer-Policy": "no-referrer"},
	}, checked, spec.roles
}

// servedByAPI reports whether the API serves a request and not the console: by its path,
// because it has a bearer token, which browsers do not send, or because it is refused by
// both.
func servedByAPI(r *http.Request) bool {
	switch path := r.URL.Path; path {
	case "/api", "/livez", "/readyz", "/metrics", "/openapi.yaml", "/docs", "/files/scan":
		return true
	default:
		return strings.HasPrefix(path, "/api/") || strings.HasPrefix(path, "/docs/") || r.Header.Get("Authorization") != "" || hidesSlashes(r)
	}
}

// refuseAmbiguousURLs refuses paths with an encoded slash, backslash or NUL, which proxies may
// interpret differently, and queries that cannot be parsed completely: a silently dropped
// parameter would be a filter that does not apply.
func refuseAmbiguousURLs(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		switch {
		case hidesSlashes(c.Request()):
			return web.Refuse(http.StatusBadRequest, "the path contains an encoded slash, backslash or NUL: no valid name does")
		case !readableQuery(c.Request()):
			return web.Refuse(http.StatusBadRequest, "the query cannot be parsed: encode it, without ';', with at most 5,000 parameters")
		}
		return next(c)
	}
}

func hidesSlashes(r *http.Request) bool {
	path := strings.ToLower(r.URL.EscapedPath())
	return strings.Contains(path, "%2f") || strings.Contains(path, "%5c") || strings.Contains(path, "%00")
}

// maxParameters is far above the parameters of any operation.
const maxParameters = 5000

func readableQuery(r *http.Request) bool {
	_, err := url.ParseQuery(r.URL.RawQuery)
	return err == nil && strings.Count(r.URL.RawQuery, "&") < maxParameters
}
