package web

import (
	"errors"
	"net"
	"net/http"
	"strings"

	"stevedore/internal/access"
	"stevedore/internal/ingest"
)

const (
	// SessionCookie is the name of the cookie of a console session.
	SessionCookie = "stevedore_session"
	// hostPrefix makes browsers accept a cookie only over TLS, for this host and all
	// paths. No other host of the domain can set such a cookie.
	hostPrefix = "__Host-"
)

// Secure reports whether the browser uses TLS, perhaps to a proxy before the service. A
// forged header can only make cookies stricter.
func Secure(r *http.Request) bool {
	return r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
}

// CookieName returns the name under which browsers store the cookie.
func CookieName(r *http.Request, name string) string {
	if Secure(r) {
		return hostPrefix + name
	}
	return name
}

// Cookie returns the value of the cookie and reports whether the request has it.
func Cookie(r *http.Request, name string) (value string, ok bool) {
	cookie, err := r.Cookie(CookieName(r, name))
	if err != nil {
		return "", false
	}
	return cookie.Value, true
}

// Address returns the client's address without the port.
func Address(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// Session returns the principal of the request's console session, or access.ErrRefused.
func Session(r *http.Request, guard *access.Guard) (ingest.Principal, error) {
	cookie, ok := Cookie(r, SessionCookie)
	if !ok {
		return ingest.Principal{}, access.ErrRefused
	}
	return guard.Session(r.Context(), cookie)
}

const askForToken = "send the header `Authorization: Bearer <token>` with a token created by `stevedore token create`, or with STEVEDORE_TOKEN"

// Principal returns the principal of the request: by its bearer token or, without an
// Authorization header, by its console session. Handler protects sessions from writes of
// other sites.
func Principal(r *http.Request, guard *access.Guard) (ingest.Principal, error) {
	scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	secret = strings.TrimSpace(secret)
	if scheme == "" {
		if principal, err := Session(r, guard); !errors.Is(err, access.ErrRefused) {
			return principal, err
		}
	}
	if !strings.EqualFold(scheme, "Bearer") || secret == "" {
		return ingest.Principal{}, Refuse(http.StatusUnauthorized, askForToken)
	}
	return guard.Token(r.Context(), Address(r), secret)
}
