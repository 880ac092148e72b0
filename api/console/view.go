package console

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/a-h/templ"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"stevedore/api/openapi"
	"stevedore/api/web"
	"stevedore/internal/access"
	"stevedore/internal/ingest"
	"stevedore/internal/operations"
)

// view is the state that all pages share.
type view struct {
	// who is the user who is logged in; zero on the login page.
	who   ingest.Principal
	roles openapi.Roles
	// lang is the language of the page; p formats its texts.
	lang language.Tag
	p    *message.Printer
	// url is the page's URL: of the request, or of the page that a form belongs to.
	url *url.URL
	// origin is scheme and host as the browser sees them, for curl commands.
	origin string
	now    time.Time
	// notice is the result of the previous form; bad marks a failure.
	notice notice
	bad    bool

	version    string
	temporalUI string
	s3Console  string
}

// T translates a text of the catalogue and formats it.
func (v *view) T(key string, args ...any) string { return v.p.Sprintf(key, args...) }

// server returns the name of a server, with a mark if the server was removed.
func (v *view) server(name string, removed bool) string {
	if removed {
		return v.T("%s (removed)", name)
	}
	return name
}

// can reports whether the user's role allows the API's operation.
func (v *view) can(operationID string) bool { return v.who.Role.Allows(v.roles.Of(operationID)) }

// current returns the aria-current value of a navigation link.
func (v *view) current(path string) string {
	if v.url.Path == path || path != "/" && strings.HasPrefix(v.url.Path, path+"/") {
		return "page"
	}
	return "false"
}

// workflowURL returns the workflow's URL in Temporal's Web UI; empty if it is not
// configured.
func (v *view) workflowURL(workflowID string) string {
	if v.temporalUI == "" {
		return ""
	}
	return strings.TrimSuffix(v.temporalUI, "/") + "/workflows/" + url.PathEscape(workflowID)
}

// objectURL returns the object's URL in MinIO's console; empty if it is not configured.
func (v *view) objectURL(bucket, key string) string {
	if v.s3Console == "" {
		return ""
	}
	return strings.TrimSuffix(v.s3Console, "/") + "/browser/" + url.PathEscape(bucket) + "/" + url.PathEscape(key)
}

// answer is the result of a handler.
type answer struct {
	title string
	body  templ.Component
	// status is 200 unless set.
	status int
	// goTo redirects the browser; the target page shows the notice, as a failure if bad.
	goTo   string
	notice notice
	bad    bool
	// bare omits the layout.
	bare bool
	// file is downloaded instead of the body.
	file *download
}

// download is a file that write streams.
type download struct {
	name, contentType string
	write             func(w io.Writer) error
}

// done returns the answer of a form: the page goTo with the notice, or with the reason why
// the request is refused.
func (v *view) done(goTo, text string, err error) (answer, error) {
	switch {
	case err == nil:
		return answer{goTo: goTo, notice: plain(text)}, nil
	case ingest.IsKind(err, ingest.KindInvalid), ingest.IsKind(err, ingest.KindConflict):
		return answer{goTo: goTo, notice: v.explain(err), bad: true}, nil
	default:
		return answer{}, err
	}
}

// reasonOf returns the reason of an operator action.
func reasonOf(r *http.Request) (string, error) {
	reason := strings.TrimSpace(r.PostFormValue("reason"))
	if reason == "" {
		return "", newError(ingest.KindInvalid, nil, "Enter a reason; it is stored in the history.")
	}
	return reason, nil
}

// handler renders a page or processes a form.
type handler func(r *http.Request, v *view) (answer, error)

// errForbidden marks errors with status 403.
var errForbidden = web.Refuse(http.StatusForbidden, "forbidden")

// page authorizes the request, calls the handler and writes its answer.
func (c *Console) page(role ingest.Role, handle handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v := c.view(r)
		who, err := web.Session(r, c.d.Guard)
		if errors.Is(err, access.ErrRefused) {
			toLogin(w, r)
			return
		}
		if err != nil {
			c.sessionError(w, r, v, err)
			return
		}
		v.who = who
		web.InfoOf(r.Context()).Principal = who.Name
		if err := c.d.Guard.CountRequest(who.Name); err != nil {
			web.SetHeaders(w.Header(), err)
			http.Error(w, v.T("Too many requests. Try again later."), http.StatusTooManyRequests)
			return
		}
		r = r.WithContext(access.As(r.Context(), who))
		if !who.Role.Allows(role) {
			c.fail(w, r, v, newError(ingest.KindPermission, errForbidden, "This needs a token with the role %s; %s has the role %s.", role, who.Name, who.Role))
			return
		}
		a, err := handle(r, v)
		if err != nil {
			c.fail(w, r, v, err)
			return
		}
		c.write(w, r, v, a)
	}
}

// sessionError answers a request whose session cannot be read. Sessions are stored in
// PostgreSQL, so the health banner of open pages reports PostgreSQL and nothing else: the
// client is not authenticated.
func (c *Console) sessionError(w http.ResponseWriter, r *http.Request, v *view, err error) {
	if r.URL.Path != healthPath {
		c.fail(w, r, v, err)
		return
	}
	c.d.Log.ErrorContext(r.Context(), "cannot read the session", "error", err)
	down := partDown{part: operations.PartPostgres, name: v.T(partNames[operations.PartPostgres]), message: plain(v.T("unavailable, so pages cannot be shown."))}
	c.write(w, r, v, answer{body: healthBanner(v, []partDown{down}), bare: true})
}

// view returns the view of a request.
func (c *Console) view(r *http.Request) *view {
	lang := languageOf(r)
	scheme := "http"
	if web.Secure(r) {
		scheme = "https"
	}
	v := &view{
		roles: c.d.Roles, lang: lang, p: message.NewPrinter(lang, message.Catalog(texts)), url: r.URL, origin: scheme + "://" + r.Host,
		now: c.d.Now().UTC(), version: c.d.Version, temporalUI: c.d.TemporalUI, s3Console: c.d.S3Console,
	}
	v.notice, v.bad = takeNotice(r)
	return v
}

func (c *Console) write(w http.ResponseWriter, r *http.Request, v *view, a answer) {
	if a.goTo != "" {
		if !a.notice.empty() {
			leaveNotice(w, r, a.notice, a.bad)
		}
		http.Redirect(w, r, a.goTo, http.StatusSeeOther)
		return
	}
	if a.file != nil {
		c.send(w, r, *a.file)
		return
	}
	if !v.notice.empty() && !a.bare {
		setCookie(w, r, noticeCookie, "", -1, http.SameSiteStrictMode)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Vary", "Cookie, Accept-Language")
	if a.status != 0 {
		w.WriteHeader(a.status)
	}
	body := a.body
	if !a.bare {
		body = layout(v, a.title, a.body)
	}
	if err := body.Render(r.Context(), w); err != nil {
		c.d.Log.WarnContext(r.Context(), "cannot send a page", "path", r.URL.Path, "error", err)
	}
}

// send streams a file. It breaks the connection on a failure, so that browsers report an
// incomplete file.
func (c *Console) send(w http.ResponseWriter, r *http.Request, file download) {
	w.Header().Set("Content-Type", file.contentType)
	w.Header().Set("Content-Disposition", `attachment; filename="`+file.name+`"`)
	if err := file.write(w); err != nil {
		c.d.Log.WarnContext(r.Context(), "cannot send a file", "path", r.URL.Path, "error", err)
		panic(http.ErrAbortHandler)
	}
}

// fail writes an error page.
func (c *Console) fail(w http.ResponseWriter, r *http.Request, v *view, err error) {
	status := web.Status(err)
	if status >= http.StatusInternalServerError {
		c.d.Log.ErrorContext(r.Context(), "page failed", "path", r.URL.Path, "request_id", web.InfoOf(r.Context()).ID, "error", err)
	}
	c.write(w, r, v, answer{title: v.T("Request failed"), body: failure(v, v.explain(err)), status: status})
}
