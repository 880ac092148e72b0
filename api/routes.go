package api

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/labstack/echo/v4"

	"stevedore/api/openapi"
	"stevedore/api/web"
)

// routes registers openapi.yaml's paths with echo. A path with an action, such as
// /files/{file_uuid}:retry, is registered with a slash before the action, because echo's
// parameters extend to the next slash. splitAction rewrites requests in the same way.
type routes struct {
	openapi.EchoRouter
	// specified maps echo's patterns to openapi.yaml's paths.
	specified map[string]string
}

var (
	// actionPattern matches the generated code's form of {name}:action.
	actionPattern = regexp.MustCompile(`^(.*/):(\w+)\\:([a-z-]+)$`)
	// actionPath matches the path of a request for an action.
	actionPath = regexp.MustCompile(`^(/api/v1/(?:files|servers)/[^/:]+):([a-z-]+)$`)
	parameter  = regexp.MustCompile(`:(\w+)`)
)

// pattern returns echo's pattern and openapi.yaml's path for a generated pattern.
func pattern(generated string) (echoPattern, specified string) {
	switch {
	case actionPattern.MatchString(generated):
		return actionPattern.ReplaceAllString(generated, `$1:$2/\:$3`), actionPattern.ReplaceAllString(generated, `$1{$2}:$3`)
	case strings.Contains(generated, `\:`): // an action on a whole list
		return generated, strings.ReplaceAll(generated, `\:`, ":")
	default:
		return generated, parameter.ReplaceAllString(generated, `{$1}`)
	}
}

func (r routes) add(method func(string, echo.HandlerFunc, ...echo.MiddlewareFunc) *echo.Route, path string, h echo.HandlerFunc, m []echo.MiddlewareFunc) *echo.Route {
	registered, specified := pattern(path)
	// A handler sees the pattern without the escapes.
	r.specified[registered] = specified
	r.specified[strings.ReplaceAll(registered, `\:`, ":")] = specified
	return method(registered, h, m...)
}

// GET implements openapi.EchoRouter.
func (r routes) GET(path string, h echo.HandlerFunc, m ...echo.MiddlewareFunc) *echo.Route {
	return r.add(r.EchoRouter.GET, path, h, m)
}

// POST implements openapi.EchoRouter.
func (r routes) POST(path string, h echo.HandlerFunc, m ...echo.MiddlewareFunc) *echo.Route {
	return r.add(r.EchoRouter.POST, path, h, m)
}

// PATCH implements openapi.EchoRouter.
func (r routes) PATCH(path string, h echo.HandlerFunc, m ...echo.MiddlewareFunc) *echo.Route {
	return r.add(r.EchoRouter.PATCH, path, h, m)
}

// DELETE implements openapi.EchoRouter.
func (r routes) DELETE(path string, h echo.HandlerFunc, m ...echo.MiddlewareFunc) *echo.Route {
	return r.add(r.EchoRouter.DELETE, path, h, m)
}

// splitAction inserts the slash before the action, see routes.
func splitAction(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		// In place: echo routes the original request, not one set here.
		u := c.Request().URL
		if found := actionPath.FindStringSubmatch(u.EscapedPath()); found != nil {
			// The escaped path, so that encoded characters separate nothing.
			escaped := found[1] + "/:" + found[2]
			path, err := url.PathUnescape(escaped)
			if err != nil {
				return web.Refuse(http.StatusBadRequest, "the path is not a valid URL path")
			}
			if u.Path, u.RawPath = path, ""; u.EscapedPath() != escaped {
				u.RawPath = escaped
			}
		}
		return next(c)
	}
}
