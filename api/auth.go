package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"stevedore/api/console"
	"stevedore/internal/access"
	"stevedore/internal/ingest"
)

// openPaths need no token. They are route patterns, not what a caller wrote,
// so no spelling of a path gets around the check.
var openPaths = map[string]bool{"/livez": true, "/readyz": true}

// operatorRoutes are what an operator may do besides reading. Reading needs a
// viewer, whatever is not listed here an admin: an operation that somebody
// forgets is closed. A test compares all with openapi.yaml.
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

// neededRole returns the role that a route asks for; path is openapi.yaml's.
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

const askForToken = "send the header `Authorization: Bearer <token>`; `stevedore token create` makes one, and STEVEDORE_TOKEN is an admin's"

// guard lets a request pass only with a token whose role is enough.
type guard struct {
	// bootstrap is the digest of the token in the configuration. Digests are
	// compared, so that neither content nor length shows in the time it takes.
	bootstrap     [sha256.Size]byte
	bootstrapName string
	ops           access.Access
	limits        *limits
	lookups       *lookups
	// specified returns openapi.yaml's path for a route pattern.
	specified func(pattern string) string
}

func (g guard) check(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if openPaths[c.Path()] {
			g.recognize(c)
			return next(c)
		}
		principal, err := g.principal(c)
		if err != nil {
			return err
		}
		if wait, ok := g.limits.take(principal.Name); !ok {
			return tooMany(c, wait)
		}
		needed := neededRole(c.Request().Method, g.specified(c.Path()))
		if !principal.Role.Allows(needed) {
			return echo.NewHTTPError(http.StatusForbidden, fmt.Sprintf(
				"this needs a token with the role %s; %s has the role %s", needed, principal.Name, principal.Role))
		}
		c.Set(principalName, principal.Name)
		ctx := context.WithValue(access.As(c.Request().Context(), principal), stillAllowedKey{}, func() error {
			again, err := g.principal(c)
			if err == nil && !again.Role.Allows(needed) {
				err = access.ErrRefused
			}
			return err
		})
		c.SetRequest(c.Request().WithContext(ctx))
		return next(c)
	}
}

// recognizeTimeout bounds what a probe waits for to learn who asks: the ledger
// may be what is down.
const recognizeTimeout = time.Second

// recognize notes who asks where nobody has to say so: those who do are told
// more.
func (g guard) recognize(c echo.Context) {
	if c.Path() != "/readyz" {
		return
	}
	before := c.Request()
	ctx, cancel := context.WithTimeout(before.Context(), recognizeTimeout)
	defer cancel()
	c.SetRequest(before.WithContext(ctx))
	_, err := g.principal(c)
	c.Response().Header().Del(echo.HeaderWWWAuthenticate)
	c.Response().Header().Del("Retry-After")
	c.SetRequest(before)
	if err == nil {
		c.SetRequest(before.WithContext(context.WithValue(before.Context(), recognizedKey{}, true)))
	}
}

// recognizedKey is where probes find that a valid token came with them.
type recognizedKey struct{}

// stillAllowedKey is where long answers find how to ask again whether they may
// go on.
type stillAllowedKey struct{}

// stillAllowed returns an error when the credentials with which the request came
// are not taken any more.
func stillAllowed(ctx context.Context) error {
	if check, ok := ctx.Value(stillAllowedKey{}).(func() error); ok {
		return check()
	}
	return nil
}

// principalName is where the access log finds who asked.
const principalName = "principal"

// principal returns who asks: by a token in the header, or by the cookie of a
// person who is logged in to the console. Writes with a cookie are safe from
// other web sites, see refuseCrossOrigin.
func (g guard) principal(c echo.Context) (ingest.Principal, error) {
	scheme, given, _ := strings.Cut(c.Request().Header.Get(echo.HeaderAuthorization), " ")
	given = strings.TrimSpace(given)
	if scheme == "" {
		if principal, err := g.session(c.Request()); err == nil || !errors.Is(err, access.ErrRefused) {
			return principal, err
		}
	}
	if !strings.EqualFold(scheme, "Bearer") || given == "" {
		return ingest.Principal{}, unauthorized(c, askForToken)
	}
	principal, wait, err := g.token(c.Request().Context(), c.RealIP(), given)
	switch {
	case wait > 0:
		return principal, tooMany(c, wait)
	case errors.Is(err, access.ErrRefused):
		return principal, unauthorized(c, err.Error())
	}
	return principal, err
}

// token returns whose token the secret is. A valid one always passes, wherever
// it comes from: many share an address. Whoever tries wrong ones is slowed down
// by address, and wait says how long.
func (g guard) token(ctx context.Context, address, secret string) (p ingest.Principal, wait time.Duration, err error) {
	digest := sha256.Sum256([]byte(secret))
	if g.isBootstrap(digest) {
		return g.bootstrapPrincipal(digest), 0, nil
	}
	leave, err := g.lookups.enter(ctx, digest)
	if err != nil {
		return p, 0, err
	}
	p, err = g.ops.Authenticate(ctx, digest)
	refused := errors.Is(err, access.ErrRefused)
	leave(err == nil, refused)
	if refused {
		wait, _ = g.limits.failed(address)
	}
	return p, wait, err
}

// session returns who is logged in to the console with the request's cookie.
func (g guard) session(r *http.Request) (ingest.Principal, error) {
	cookie, ok := console.Session(r)
	if !ok {
		return ingest.Principal{}, access.ErrRefused
	}
	digest, err := g.ops.SessionToken(r.Context(), cookie)
	if err != nil {
		return ingest.Principal{}, err
	}
	if g.isBootstrap(digest) {
		return g.bootstrapPrincipal(digest), nil
	}
	return g.ops.Authenticate(r.Context(), digest)
}

func (g guard) bootstrapPrincipal(digest [sha256.Size]byte) ingest.Principal {
	return ingest.Principal{Name: g.bootstrapName, Role: ingest.RoleAdmin, TokenID: ingest.TokenID(digest)}
}

// door lets people into the console by the guard's rules.
type door struct{ guard }

// Session implements console.Door.
func (d door) Session(r *http.Request) (ingest.Principal, error) { return d.session(r) }

// Token implements console.Door.
func (d door) Token(ctx context.Context, address, secret string) (ingest.Principal, time.Duration, error) {
	return d.token(ctx, address, secret)
}

// Take implements console.Door.
func (d door) Take(principal string) (time.Duration, bool) { return d.limits.take(principal) }

func (g guard) isBootstrap(digest [sha256.Size]byte) bool {
	return subtle.ConstantTimeCompare(digest[:], g.bootstrap[:]) == 1
}

func unauthorized(c echo.Context, detail string) error {
	c.Response().Header().Set(echo.HeaderWWWAuthenticate, `Bearer realm="stevedore"`)
	return echo.NewHTTPError(http.StatusUnauthorized, detail)
}
