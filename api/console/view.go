package console

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/a-h/templ"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"stevedore/api/web"
	"stevedore/internal/access"
	"stevedore/internal/ingest"
	"stevedore/internal/operations"
)

// view is what every page knows besides its own matter.
type view struct {
	// who is the person who is logged in; zero on the log-in page.
	who ingest.Principal
	// lang is what the page is written in; p writes it.
	lang language.Tag
	p    *message.Printer
	// url is what was asked for.
	url *url.URL
	// origin is the address that the browser uses for us, for curl commands.
	origin string
	now    time.Time
	// notice is what a form has just done, one line; bad says that it did not.
	notice said
	bad    bool

	version    string
	temporalUI string
	s3Console  string
}

// T returns the text in the page's language.
func (v *view) T(key string, args ...any) string { return v.p.Sprintf(key, args...) }

// can reports whether the person may do what needs the role.
func (v *view) can(role ingest.Role) bool { return v.who.Role.Allows(role) }

// current marks the part of the console that a page belongs to.
func (v *view) current(path string) string {
	if v.url.Path == path || path != "/" && strings.HasPrefix(v.url.Path, path+"/") {
		return "page"
	}
	return "false"
}

// workflowURL is where Temporal's Web UI shows a file's workflow; empty when
// its address is not known.
func (v *view) workflowURL(workflowID string) string {
	if v.temporalUI == "" {
		return ""
	}
	return strings.TrimSuffix(v.temporalUI, "/") + "/workflows/" + url.PathEscape(workflowID)
}

// objectURL is where MinIO's console shows an object; empty when its address is
// not known.
func (v *view) objectURL(bucket, key string) string {
	if v.s3Console == "" {
		return ""
	}
	return strings.TrimSuffix(v.s3Console, "/") + "/browser/" + url.PathEscape(bucket) + "/" + url.PathEscape(key)
}

// answer is what a page handler makes.
type answer struct {
	// title is the page's name, body its content.
	title string
	body  templ.Component
	// status is 200 unless set.
	status int
	// goTo, when set, is where the browser is sent instead; notice then is one
	// line on what was done, which that page shows, and bad that it was not.
	goTo   string
	notice said
	bad    bool
	// bare leaves out everything around the body.
	bare bool
}

// handler makes one page, or does what a form asks.
type handler func(r *http.Request, v *view) (answer, error)

// errForbidden is in the chain of errors about roles.
var errForbidden = web.Refuse(http.StatusForbidden, "forbidden")

// page lets in who may and writes what the handler makes.
func (c *Console) page(role ingest.Role, handle handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v := c.view(r)
		who, err := web.Session(r, c.d.Guard)
		if errors.Is(err, access.ErrRefused) {
			toLogin(w, r)
			return
		}
		if err != nil {
			c.unknown(w, r, v, err)
			return
		}
		v.who = who
		web.InfoOf(r.Context()).Principal = who.Name
		if err := c.d.Guard.Take(who.Name); err != nil {
			web.SetHeaders(w.Header(), err)
			http.Error(w, v.T("Too many requests. Try again later."), http.StatusTooManyRequests)
			return
		}
		r = r.WithContext(access.As(r.Context(), who))
		if !who.Role.Allows(role) {
			c.fail(w, r, v, tell(ingest.KindPermission, errForbidden, "This needs a token with the role %s; %s has the role %s.", role, who.Name, who.Role))
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

// unknown answers when nobody can tell who asks. Sessions are in PostgreSQL, so
// that is what does not answer; open pages learn it from the part of them that
// names what is down, and nothing else is told to somebody unknown.
func (c *Console) unknown(w http.ResponseWriter, r *http.Request, v *view, err error) {
	if r.URL.Path != healthPath {
		c.fail(w, r, v, err)
		return
	}
	c.d.Log.ErrorContext(r.Context(), "nobody can be recognized", "error", err)
	down := partDown{part: operations.PartPostgres, name: v.T(partNames[operations.PartPostgres]), message: plain(v.T("unavailable, so pages cannot be shown."))}
	c.write(w, r, v, answer{body: healthBanner(v, []partDown{down}), bare: true})
}

// view returns what a page for the request knows.
func (c *Console) view(r *http.Request) *view {
	lang := languageOf(r)
	scheme := "http"
	if web.Secure(r) {
		scheme = "https"
	}
	v := &view{
		lang: lang, p: message.NewPrinter(lang, message.Catalog(words)), url: r.URL, origin: scheme + "://" + r.Host,
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

// fail writes a page that says what went wrong.
func (c *Console) fail(w http.ResponseWriter, r *http.Request, v *view, err error) {
	status := web.Status(err)
	if status >= http.StatusInternalServerError {
		c.d.Log.ErrorContext(r.Context(), "page failed", "path", r.URL.Path, "request_id", web.InfoOf(r.Context()).ID, "error", err)
	}
	c.write(w, r, v, answer{title: v.T("Request failed"), body: failure(v, v.said(err)), status: status})
}
