package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"stevedore/api/web"
	"stevedore/internal/access"
)

// guard requires a token or a session whose role is sufficient for the route.
type guard struct {
	*access.Guard
	spec specificationOf
}

func (g guard) check(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		path := g.spec.path(c)
		web.InfoOf(r.Context()).Route = path
		needed := g.spec.role(r.Method, path)
		if needed == "" {
			c.SetRequest(withCheck(r, func() error { return g.recognize(r) }))
			return next(c)
		}
		principal, err := web.Principal(r, g.Guard)
		if err != nil {
			return err
		}
		if err := g.CountRequest(principal.Name); err != nil {
			return err
		}
		if !principal.Role.Allows(needed) {
			return web.Refuse(http.StatusForbidden, fmt.Sprintf(
				"this needs a token with the role %s; %s has the role %s", needed, principal.Name, principal.Role))
		}
		web.InfoOf(r.Context()).Principal = principal.Name
		c.SetRequest(withCheck(r.WithContext(access.As(r.Context(), principal)), func() error {
			again, err := web.Principal(r, g.Guard)
			if err == nil && !again.Role.Allows(needed) {
				err = access.ErrRefused
			}
			return err
		}))
		return next(c)
	}
}

// recognizeTimeout bounds the check of a probe's token: the ledger may be down.
const recognizeTimeout = time.Second

// recognize returns nil for a request with a valid token.
func (g guard) recognize(r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), recognizeTimeout)
	defer cancel()
	_, err := web.Principal(r.WithContext(ctx), g.Guard)
	return err
}

// stillAllowedKey is the context key of the check of a request's credentials.
type stillAllowedKey struct{}

func withCheck(r *http.Request, check func() error) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), stillAllowedKey{}, check))
}

// stillAllowed returns an error if the credentials of the request are refused now.
func stillAllowed(ctx context.Context) error {
	if check, ok := ctx.Value(stillAllowedKey{}).(func() error); ok {
		return check()
	}
	return access.ErrRefused
}
