package console

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"stevedore/api/web"
	"stevedore/internal/access"
)

// toLogin redirects a browser to the login page, which returns to the request's page.
// It makes htmx reload the whole page.
func toLogin(w http.ResponseWriter, r *http.Request) {
	target := "/login"
	if r.Method == http.MethodGet && r.URL.Path != "/" && r.Header.Get("Hx-Request") == "" {
		target += "?next=" + url.QueryEscape(r.URL.RequestURI())
	}
	if r.Header.Get("Hx-Request") != "" {
		w.Header().Set("Hx-Refresh", "true")
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	http.Redirect(w, r, target, http.StatusSeeOther)
}

// localPath returns the path if it is local, else "/": the login page must not redirect
// to other sites.
func localPath(next string) string {
	if u, err := url.Parse(next); err != nil || u.Host != "" || u.Scheme != "" || !strings.HasPrefix(next, "/") ||
		strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return "/"
	}
	return next
}

func (c *Console) loginPage(w http.ResponseWriter, r *http.Request) {
	next := localPath(r.URL.Query().Get("next"))
	if _, err := web.Session(r, c.d.Guard); err == nil {
		http.Redirect(w, r, next, http.StatusSeeOther)
		return
	}
	v := c.view(r)
	c.write(w, r, v, answer{body: loginForm(v, next, notice{}), bare: true})
}

// logIn opens a session for a token.
func (c *Console) logIn(w http.ResponseWriter, r *http.Request) {
	v := c.view(r)
	next, secret := localPath(r.FormValue("next")), strings.TrimSpace(r.PostFormValue("token"))
	refuse := func(status int, problem notice) {
		c.write(w, r, v, answer{body: loginForm(v, next, problem), bare: true, status: status})
	}
	if secret == "" {
		refuse(http.StatusBadRequest, plain(v.T("Enter a token.")))
		return
	}
	who, err := c.d.Guard.Token(r.Context(), web.Address(r), secret)
	var cookie string
	if err == nil {
		cookie, err = c.d.Access.OpenSession(access.As(r.Context(), who), access.DigestOf(secret))
	}
	var tooMany *access.TooManyError
	switch {
	case errors.As(err, &tooMany):
		refuse(http.StatusTooManyRequests, plain(v.T("Too many invalid tokens from this address. Try again later.")))
		return
	case errors.Is(err, access.ErrRefused):
		refuse(http.StatusUnauthorized, plain(v.T("This token is unknown, expired or revoked.")))
		return
	case err != nil:
		c.d.Log.ErrorContext(r.Context(), "cannot log in", "error", err)
		refuse(web.Status(err), v.explain(err))
		return
	}
	setCookie(w, r, web.SessionCookie, cookie, int(access.SessionDuration.Seconds()), http.SameSiteStrictMode)
	http.Redirect(w, r, next, http.StatusSeeOther)
}

// logOut ends the session.
func (c *Console) logOut(r *http.Request, _ *view) (answer, error) {
	if cookie, ok := web.Cookie(r, web.SessionCookie); ok {
		if err := c.d.Access.CloseSession(r.Context(), cookie); err != nil {
			return answer{}, err
		}
	}
	return answer{goTo: "/login"}, nil
}

func leaveNotice(w http.ResponseWriter, r *http.Request, notice notice, bad bool) {
	kind := "+"
	if bad {
		kind = "-"
	}
	setCookie(w, r, noticeCookie, url.QueryEscape(kind+notice.text+"\n"+notice.original), 60, http.SameSiteStrictMode)
}

func takeNotice(r *http.Request) (notice notice, bad bool) {
	cookie, ok := web.Cookie(r, noticeCookie)
	if !ok {
		return notice, false
	}
	kept, err := url.QueryUnescape(cookie)
	if err != nil || kept == "" {
		return notice, false
	}
	notice.text, notice.original, _ = strings.Cut(kept[1:], "\n")
	return notice, kept[0] == '-'
}
