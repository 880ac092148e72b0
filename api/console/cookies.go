package console

import (
	"net/http"

	"stevedore/api/web"
)

const (
	// noticeCookie carries the notice of a form to the next page.
	noticeCookie   = "stevedore_notice"
	languageCookie = "stevedore_language"
)

// setCookie stores a value for the seconds; a negative number deletes it. Scripts and other
// sites cannot read it.
func setCookie(w http.ResponseWriter, r *http.Request, name, value string, seconds int, site http.SameSite) {
	http.SetCookie(w, &http.Cookie{
		Name: web.CookieName(r, name), Value: value, Path: "/", MaxAge: seconds, HttpOnly: true, Secure: web.Secure(r), SameSite: site,
	})
}
