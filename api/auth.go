package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
)

// openPaths need no token. They are route patterns, not what a caller wrote,
// so no spelling of a path gets around the check.
var openPaths = map[string]bool{"/": true, "/livez": true, "/readyz": true}

const (
	askForToken = "send the header `Authorization: Bearer <token>`; the token is the value of STEVEDORE_TOKEN that this service was started with"
	wrongToken  = "the bearer token is not the value of STEVEDORE_TOKEN that this service was started with"
)

// requireToken lets a request pass only with the token, except on open paths.
// Digests are compared, so that neither content nor length shows in the time
// that it takes.
func requireToken(token string) echo.MiddlewareFunc {
	want := sha256.Sum256([]byte(token))
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if openPaths[c.Path()] {
				return next(c)
			}
			scheme, given, _ := strings.Cut(c.Request().Header.Get(echo.HeaderAuthorization), " ")
			if !strings.EqualFold(scheme, "Bearer") || given == "" {
				return unauthorized(c, askForToken)
			}
			got := sha256.Sum256([]byte(strings.TrimSpace(given)))
			if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
				return unauthorized(c, wrongToken)
			}
			return next(c)
		}
	}
}

func unauthorized(c echo.Context, detail string) error {
	c.Response().Header().Set(echo.HeaderWWWAuthenticate, `Bearer realm="stevedore"`)
	return echo.NewHTTPError(http.StatusUnauthorized, detail)
}
