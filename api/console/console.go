package console

import (
	"context"
	"embed"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/klauspost/compress/gzhttp"

	"stevedore/internal/access"
	"stevedore/internal/ingest"
	"stevedore/internal/operations"
)

// Door is who lets people in.
type Door interface {
	// Session returns who is logged in with the request's cookie, or
	// access.ErrRefused.
	Session(r *http.Request) (ingest.Principal, error)
	// Token returns whose token the secret is, or access.ErrRefused; wait says
	// that the address has tried too many wrong ones.
	Token(ctx context.Context, address, secret string) (p ingest.Principal, wait time.Duration, err error)
	// Take counts a principal's request; wait says that it is one too many.
	Take(principal string) (wait time.Duration, ok bool)
}

// Deps is what the console works with.
type Deps struct {
	Operations operations.Operations
	Access     access.Access
	Door       Door
	Log        *slog.Logger
	// Version is the program's, shown at the foot of each page.
	Version string
	// TemporalUI, may be empty, is where Temporal's Web UI shows workflows:
	// "http://127.0.0.1:8233/namespaces/default".
	TemporalUI string
	// S3Console, may be empty, is where MinIO's console shows objects.
	S3Console string
	// Now is the clock; default time.Now.
	Now func() time.Time
	// Served, may be nil, is told of each request that was answered: by its route,
	// see Route, which is "" where there is no page.
	Served func(method, route string, status int, took time.Duration)
}

// Console serves the pages.
type Console struct {
	d   Deps
	mux *http.ServeMux
}

//go:embed static
var static embed.FS

// bodyLimit is far above the largest form: a private key and some globs.
const bodyLimit = 256 << 10

// pageTimeout bounds what stands between a request and its page, but for tests of
// partners' servers, which have operations.MaxTest.
const pageTimeout = 25 * time.Second

// TestsServer reports whether the request, of a page or of the API, tests a partner's
// server, which takes as long as the server takes to log in.
func TestsServer(r *http.Request) bool {
	page := strings.HasPrefix(r.URL.Path, "/servers/") && (strings.HasSuffix(r.URL.Path, "/test") || strings.HasSuffix(r.URL.Path, "/approve"))
	program := strings.HasPrefix(r.URL.Path, "/api/v1/servers/") && (strings.HasSuffix(r.URL.Path, ":test") || strings.HasSuffix(r.URL.Path, ":approve-host-key"))
	return r.Method == http.MethodPost && (page || program)
}

// healthPath is asked for again and again by every open page, so its answer
// must come before the next question: healthTimeout is above what a check of
// all parts takes.
const (
	healthPath    = "/health"
	healthTimeout = 8 * time.Second
)

// New returns the console.
func New(d Deps) *Console {
	if d.Now == nil {
		d.Now = time.Now
	}
	c := &Console{d: d, mux: http.NewServeMux()}
	c.mux.Handle("GET /static/", staticFiles())
	c.mux.HandleFunc("GET /login", c.loginPage)
	c.mux.HandleFunc("POST /login", c.logIn)
	c.mux.HandleFunc("POST /language", c.setLanguage)
	for _, route := range c.routes() {
		c.mux.HandleFunc(route.pattern, c.page(route.role, route.handle))
	}
	c.mux.HandleFunc("/", c.page(ingest.RoleViewer, func(*http.Request, *view) (answer, error) {
		return answer{}, errNoPage
	}))
	return c
}

// route is a page or an action.
type route struct {
	pattern string
	// role is what it takes to use it.
	role   ingest.Role
	handle handler
}

// routes is all that needs a person who is logged in.
func (c *Console) routes() []route {
	return []route{
		{"GET /{$}", ingest.RoleViewer, c.overview},
		{"GET " + healthPath, ingest.RoleViewer, c.health},
		{"POST /logout", ingest.RoleViewer, c.logOut},

		{"GET /servers", ingest.RoleViewer, c.servers},
		{"GET /servers/new", ingest.RoleAdmin, c.newServer},
		{"POST /servers", ingest.RoleAdmin, c.addServer},
		{"GET /servers/{server}", ingest.RoleViewer, c.server},
		{"GET /servers/{server}/edit", ingest.RoleAdmin, c.editServer},
		{"POST /servers/{server}/edit", ingest.RoleAdmin, c.saveServer},
		{"POST /servers/{server}/remove", ingest.RoleAdmin, c.removeServer},
		{"POST /servers/{server}/test", ingest.RoleOperator, c.testServer},
		{"POST /servers/{server}/approve", ingest.RoleAdmin, c.approveKey},
		{"POST /servers/{server}/scan", ingest.RoleOperator, c.scanServer},
		{"POST /servers/{server}/pause", ingest.RoleOperator, c.pauseServer},
		{"POST /servers/{server}/resume", ingest.RoleOperator, c.resumeServer},
		{"POST /servers/{server}/changes", ingest.RoleOperator, c.decideChanges},
		{"POST /scan", ingest.RoleOperator, c.scanAll},

		{"GET /files", ingest.RoleViewer, c.files},
		{"POST /files/decide", ingest.RoleOperator, c.decideFiles},
		{"GET /files/{file}", ingest.RoleViewer, c.file},
		{"POST /files/{file}/decide", ingest.RoleOperator, c.decideFile},

		{"GET /scans", ingest.RoleViewer, c.scans},
		{"GET /audits", ingest.RoleViewer, c.audits},
		{"POST /audits", ingest.RoleOperator, c.startAudit},
		{"GET /audits/{audit}", ingest.RoleViewer, c.audit},
		{"GET /changes", ingest.RoleAdmin, c.changes},
		{"GET /tokens", ingest.RoleAdmin, c.tokens},
		{"POST /tokens", ingest.RoleAdmin, c.createToken},
		{"POST /tokens/{name}/revoke", ingest.RoleAdmin, c.revokeToken},
	}
}

// Route returns the pattern of the page that a request is for, without the
// method; "/" is that of all for which there is no page.
func (c *Console) Route(r *http.Request) string {
	_, pattern := c.mux.Handler(r)
	return pattern[strings.IndexByte(pattern, ' ')+1:]
}

// served tells of a request that was answered.
func (c *Console) served(r *http.Request, status int, took time.Duration) {
	if c.d.Served == nil {
		return
	}
	route := c.Route(r)
	if route == "/" {
		route = "" // no page
	}
	c.d.Served(r.Method, route, status, took)
}

// ServeHTTP implements http.Handler.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	started, id := time.Now(), uuid.NewString()
	recorded := &statusWriter{ResponseWriter: w, status: http.StatusOK}
	w.Header().Set("X-Request-Id", id)
	harden(w.Header())
	defer func() {
		if p := recover(); p != nil {
			c.d.Log.ErrorContext(r.Context(), "panic in the console", "request_id", id, "panic", p)
			http.Error(recorded, c.view(r).T("Something went wrong inside stevedore: its log has the request id %s.", id), http.StatusInternalServerError)
		}
		level := slog.LevelInfo
		if strings.HasPrefix(r.URL.Path, "/static/") {
			level = slog.LevelDebug
		}
		c.d.Log.Log(r.Context(), level, "page", "method", r.Method, "path", r.URL.Path, "status", recorded.status,
			"duration", time.Since(started), "peer", r.RemoteAddr, "request_id", id)
		c.served(r, recorded.status, time.Since(started))
	}()
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		c.fail(recorded, r, c.view(r), tell(ingest.KindInvalid, errForbidden, "A form from another web site is not taken."))
		return
	}
	r.Body = http.MaxBytesReader(recorded, r.Body, bodyLimit)
	timeout := pageTimeout
	switch {
	case r.URL.Path == healthPath:
		timeout = healthTimeout
	case TestsServer(r):
		timeout = operations.MaxTest
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	c.mux.ServeHTTP(recorded, r.WithContext(ctx))
}

// harden keeps a browser from running or loading what is not ours.
func harden(header http.Header) {
	header.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "+
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "same-origin")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cache-Control", "no-store")
}

// staticFiles serves what is the same for everybody.
func staticFiles() http.Handler {
	// Pages hold what partners send and what attackers choose: those are not
	// compressed, for the sizes would tell about their content.
	files := gzhttp.GzipHandler(http.FileServerFS(static))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=86400")
		if strings.HasSuffix(r.URL.Path, "/") { // no listings of folders
			http.NotFound(w, r)
			return
		}
		files.ServeHTTP(w, r)
	})
}

// statusWriter remembers the status for the log.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// errNoPage is for addresses that lead nowhere.
var errNoPage = tell(ingest.KindMissing, ingest.ErrNotFound, "There is no page at this address.")

// statusOf is the HTTP status of an error.
func statusOf(err error) int {
	var large *http.MaxBytesError
	switch {
	case errors.Is(err, ingest.ErrNotFound):
		return http.StatusNotFound
	case errors.Is(err, errForbidden):
		return http.StatusForbidden
	case errors.As(err, &large):
		return http.StatusRequestEntityTooLarge
	}
	switch kind := ingest.KindOf(err); {
	case kind == ingest.KindInvalid:
		return http.StatusBadRequest
	case kind.Permanent():
		return http.StatusConflict
	default:
		return http.StatusServiceUnavailable
	}
}
