package api

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"stevedore/api/oas"
)

const (
	// bodyLimit is far above the largest request: 1,000 server names.
	bodyLimit = "256K"
	// maxServers of one scan request, as openapi.yaml says.
	maxServers = 1000
	// startTimeout bounds what stands between a request and its 202.
	startTimeout = 5 * time.Second
)

// Deps is what the handler works with.
type Deps struct {
	Operations Operations
	// Token is the bearer token; it must not be empty.
	Token string
	Log   *slog.Logger
}

// NewHandler returns the whole API as an http.Handler.
func NewHandler(d Deps) http.Handler {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	// Forwarded headers can be written by anybody: the peer is who connects.
	e.IPExtractor = echo.ExtractIPDirect()
	e.JSONSerializer = strictJSON{}
	e.HTTPErrorHandler = answerProblem(d.Log)
	e.Use(
		middleware.RequestIDWithConfig(middleware.RequestIDConfig{Generator: uuid.NewString, RequestIDHandler: freshRequestID}),
		logRequests(d.Log),
		catchPanics(d.Log),
		harden,
		refuseCrossOrigin(),
		middleware.BodyLimit(bodyLimit),
		requireToken(d.Token),
		requireJSON,
	)
	oas.RegisterHandlers(e, oas.NewStrictHandler(handlers{ops: d.Operations}, []oas.StrictMiddlewareFunc{refuseUnknown}))
	return e
}

// freshRequestID replaces an id that a caller sent: it goes into our log.
func freshRequestID(c echo.Context, id string) {
	if _, err := uuid.Parse(id); err != nil {
		c.Response().Header().Set(echo.HeaderXRequestID, uuid.NewString())
	}
}

// logRequests writes one line for each request, without headers and query:
// headers hold the token. Probes are logged at debug level.
func logRequests(log *slog.Logger) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			started := time.Now()
			if err := next(c); err != nil {
				c.Error(err) // so that the status below is what is sent
			}
			level := slog.LevelInfo
			if c.Path() == "/livez" || c.Path() == "/readyz" {
				level = slog.LevelDebug
			}
			log.Log(c.Request().Context(), level, "request",
				"method", c.Request().Method, "path", c.Request().URL.Path, "status", c.Response().Status,
				"duration", time.Since(started), "peer", c.RealIP(), "request_id", c.Response().Header().Get(echo.HeaderXRequestID))
			return nil
		}
	}
}

// catchPanics turns a panic into an internal error and logs its stack.
func catchPanics(log *slog.Logger) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) (err error) {
			defer func() {
				if p := recover(); p != nil {
					log.ErrorContext(c.Request().Context(), "panic in a handler", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
					err = fmt.Errorf("panic: %v", p)
				}
			}()
			return next(c)
		}
	}
}

// harden sets headers that keep a browser from making more of an answer than
// it is.
func harden(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		header := c.Response().Header()
		header.Set(echo.HeaderXContentTypeOptions, "nosniff")
		header.Set(echo.HeaderContentSecurityPolicy, "default-src 'none'; frame-ancestors 'none'")
		header.Set(echo.HeaderReferrerPolicy, "no-referrer")
		header.Set(echo.HeaderCacheControl, "no-store")
		return next(c)
	}
}

// refuseCrossOrigin refuses writes that a browser sends for another site.
func refuseCrossOrigin() echo.MiddlewareFunc {
	protection := http.NewCrossOriginProtection()
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if err := protection.Check(c.Request()); err != nil {
				return echo.NewHTTPError(http.StatusForbidden, "a request from another web site is not taken")
			}
			return next(c)
		}
	}
}
