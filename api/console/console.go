package console

import (
	"embed"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/klauspost/compress/gzhttp"

	"stevedore/api/openapi"
	"stevedore/api/web"
	"stevedore/internal/access"
	"stevedore/internal/ingest"
	"stevedore/internal/operations"
)

// Deps are the dependencies of the console.
type Deps struct {
	Operations operations.Operations
	Access     access.Access
	// Guard checks sessions and tokens.
	Guard *access.Guard
	// Roles are the API's: a page requires the role of the operation that it shows or does.
	Roles openapi.Roles
	Log   *slog.Logger
	// Version of the program, shown in the footer.
	Version string
	// TemporalUI is the URL of a namespace in Temporal's Web UI, for example
	// "http://127.0.0.1:8233/namespaces/default"; empty for no links.
	TemporalUI string
	// S3Console is the URL of MinIO's console; empty for no links.
	S3Console string
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// Console serves the pages.
type Console struct {
	d   Deps
	mux *http.ServeMux
}

//go:embed static
var static embed.FS

// pageTimeout is the time limit of a request. Connection tests have operations.MaxTest.
const pageTimeout = 25 * time.Second

// Open pages poll healthPath. healthTimeout is shorter than the polling interval and
// longer than a check of all dependencies.
const (
	healthPath    = "/health"
	healthTimeout = 8 * time.Second
)

// New returns a console.
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
		c.mux.HandleFunc(route.pattern, c.page(c.d.Roles.Of(route.operation), route.handle))
	}
	c.mux.HandleFunc("/", c.page(ingest.RoleViewer, func(*http.Request, *view) (answer, error) {
		return answer{}, errNoPage
	}))
	return c
}

// route is a page or an action.
type route struct {
	pattern string
	// operation is the operationId of the API's operation whose role is required.
	operation string
	handle    handler
}

// routes lists the pages and actions that require a login.
func (c *Console) routes() []route {
	return []route{
		{"GET /{$}", "getOverview", c.overview},
		{"GET " + healthPath, "getOverview", c.health},
		{"POST /logout", "getOverview", c.logOut},

		{"GET /servers", "listServers", c.servers},
		{"GET /servers/new", "createServer", c.newServer},
		{"POST /servers", "createServer", c.addServer},
		{"POST /servers/test", "testServerSettings", c.testSettings},
		{"GET /servers/{server}", "getServer", c.server},
		{"GET /servers/{server}/edit", "editServer", c.editServer},
		{"POST /servers/{server}/edit", "editServer", c.saveServer},
		{"POST /servers/{server}/edit/test", "testServerEdit", c.testEdit},
		{"POST /servers/{server}/remove", "removeServer", c.removeServer},
		{"POST /servers/{server}/test", "testServer", c.testServer},
		{"POST /servers/{server}/approve", "approveHostKey", c.approveKey},
		{"POST /servers/{server}/scan", "scanServer", c.scanServer},
		{"POST /servers/{server}/pause", "pauseServer", c.pauseServer},
		{"POST /servers/{server}/resume", "resumeServer", c.resumeServer},
		{"POST /servers/{server}/changes", "decideChanges", c.decideChanges},
		{"POST /scan", "startScan", c.scanAll},

		{"GET /files", "listFiles", c.files},
		{"POST /files/act", "retryFiles", c.actOnFiles},
		{"GET /files/{file}", "getFile", c.file},
		{"POST /files/{file}/act", "retryFile", c.actOnFile},

		{"GET /scans", "listScans", c.scans},
		{"GET /scans/{scan}", "getServerScan", c.scan},
		{"GET /audits", "listAudits", c.audits},
		{"POST /audits", "startAudit", c.startAudit},
		{"GET /audits/{audit}", "getAudit", c.audit},
		{"GET /audit-log", "listAuditLog", c.auditLog},
		{"GET " + exportPath, "listAuditLog", c.exportAuditLog},
		{"GET /tokens", "listTokens", c.tokens},
		{"POST /tokens", "createToken", c.createToken},
		{"POST /tokens/{name}/revoke", "revokeToken", c.revokeToken},
	}
}

// Site returns the console for web.Handler.
func (c *Console) Site() web.Site {
	return web.Site{
		Handler: c, Fail: c.failSite, Timeout: timeout,
		Headers: map[string]string{ // browsers must not run or load what the console does not serve
			"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
				"form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
			"Referrer-Policy":            "same-origin",
			"Cross-Origin-Opener-Policy": "same-origin",
		},
	}
}

// timeout returns the time limit of a request, see web.Site.
func timeout(r *http.Request) (time.Duration, error) {
	path := r.URL.Path
	switch {
	case path == healthPath:
		return healthTimeout, nil
	case path == exportPath:
		return exportTimeout, nil
	case r.Method == http.MethodPost && strings.HasPrefix(path, "/servers/") && (strings.HasSuffix(path, "/test") || strings.HasSuffix(path, "/approve")):
		return operations.MaxTest, operations.ErrMaxTest
	default:
		return pageTimeout, nil
	}
}

// failSite writes the page for an error of the middleware.
func (c *Console) failSite(w http.ResponseWriter, r *http.Request, err error) {
	v := c.view(r)
	switch {
	case errors.Is(err, web.ErrPanic):
		http.Error(w, v.T("Internal error. See the log for request id %s.", web.InfoOf(r.Context()).ID), http.StatusInternalServerError)
	case errors.Is(err, web.ErrCrossOrigin):
		c.fail(w, r, v, newError(ingest.KindInvalid, errForbidden, "Forms from other websites are rejected."))
	default:
		c.fail(w, r, v, err)
	}
}

// Route returns the pattern of the request's page without the method; "/" when there is
// no page.
func (c *Console) Route(r *http.Request) string {
	_, pattern := c.mux.Handler(r)
	return pattern[strings.IndexByte(pattern, ' ')+1:]
}

// ServeHTTP implements http.Handler.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if route := c.Route(r); route != "/" {
		web.InfoOf(r.Context()).Route = route
	}
	c.mux.ServeHTTP(w, r)
}

// staticFiles serves the embedded assets.
func staticFiles() http.Handler {
	// Pages are not compressed: their sizes would reveal secrets next to text that an
	// attacker chooses (BREACH).
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

// errNoPage is the error of unknown URLs.
var errNoPage = newError(ingest.KindMissing, ingest.ErrNotFound, "There is no page at this address.")
