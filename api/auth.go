package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"stevedore/api/web"
	"stevedore/internal/access"
	"stevedore/internal/ingest"
)

// openPaths are the route patterns that need no token. Patterns are compared, not request
// paths, so that no spelling of a path bypasses the check.
var openPaths = map[string]bool{"/livez": true, "/readyz": true}

// operatorRoutes are the routes that need an operator. Reading needs a viewer, and all other
// routes an admin, so that a forgotten route is closed. A test compares them with
// openapi.yaml.
var operatorRoutes = map[string]bool{
	"POST /files/scan":                         true,
	"POST /api/v1/servers/{server}:pause":      true,
	"POST /api/v1/servers/{server}:resume":     true,
	"POST /api/v1/servers/{server}:changes":    true,
	"POST /api/v1/servers/{server}:test":       true,
	"POST /api/v1/servers/{server}:scan":       true,
	"POST /api/v1/audits":                      true,
	"POST /api/v1/files:retry":                 true,
	"POST /api/v1/files:skip":                  true,
	"POST /api/v1/files/{file_uuid}:retry":     true,
	"POST /api/v1/files/{file_uuid}:skip":      true,
	"POST /api/v1/files/{file_uuid}:renotify":  true,
	"POST /api/v1/files/{file_uuid}:reprocess": true,
}

// adminReads are readable by admins only.
var adminReads = map[string]bool{"/api/v1/tokens": true, "/api/v1/audit-log": true}

// neededRole returns the role that a route requires; path is openapi.yaml's.
func neededRole(method, path string) ingest.Role {
	switch {
	case operatorRoutes[method+" "+path]:
		return ingest.RoleOperator
	case (method == http.MethodGet || method == http.MethodHead) && !adminReads[path]:
		return ingest.RoleViewer
	default:
		return ingest.RoleAdmin
	}
}

// guard requires a token or a session whose role is sufficient for the route.
type guard struct {
	*access.Guard
	// specified returns openapi.yaml's path for a route pattern.
	specified func(pattern string) string
}

func (g guard) check(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		web.InfoOf(r.Context()).Route = g.specified(c.Path())
		if openPaths[c.Path()] {
			c.SetRequest(withCheck(r, func() error { return g.recognize(r) }))
			return next(c)
		}
		principal, err := web.Principal(r, g.Guard)
		if err != nil {
			return err
		}
		if err := g.Take(principal.Name); err != nil {
			return err
		}
		needed := neededRole(r.Method, g.specified(c.Path()))
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
