package console

import (
	"net/http"
	"strings"
)

const (
	// sessionCookie says who is logged in.
	sessionCookie = "stevedore_session"
	// noticeCookie carries one line to the page after a form.
	noticeCookie   = "stevedore_notice"
	languageCookie = "stevedore_language"
	// hostPrefix makes a browser take a cookie only over TLS, for this host and all
	// paths: no other host of the domain can plant one.
	hostPrefix = "__Host-"
)

// Secure reports whether the browser came by TLS, perhaps to a proxy before
// us. A forged header can only make cookies stricter.
func Secure(r *http.Request) bool {
	return r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
}

// cookieName is the name of a cookie of ours as the browser keeps it.
func cookieName(r *http.Request, name string) string {
	if Secure(r) {
		return hostPrefix + name
	}
	return name
}

// Session returns the cookie that says who is logged in, if there is one.
func Session(r *http.Request) (cookie string, ok bool) { return readCookie(r, sessionCookie) }

func readCookie(r *http.Request, name string) (value string, ok bool) {
	cookie, err := r.Cookie(cookieName(r, name))
	if err != nil {
		return "", false
	}
	return cookie.Value, true
}

// setCookie keeps a value for the seconds; fewer than 0 forget it. Scripts and
// other sites never see it.
func setCookie(w http.ResponseWriter, r *http.Request, name, value string, seconds int, site http.SameSite) {
	http.SetCookie(w, &http.Cookie{
		Name: cookieName(r, name), Value: value, Path: "/", MaxAge: seconds, HttpOnly: true, Secure: Secure(r), SameSite: site,
	})
}
