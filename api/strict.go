package api

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"stevedore/api/web"
)

// requireJSON refuses bodies of another type. Otherwise a form, curl -d's default, would
// be read as an empty request.
func requireJSON(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		mediaType, _, _ := strings.Cut(r.Header.Get(echo.HeaderContentType), ";")
		if r.ContentLength != 0 && !strings.EqualFold(strings.TrimSpace(mediaType), echo.MIMEApplicationJSON) {
			return web.Refuse(http.StatusUnsupportedMediaType, "send the body as JSON with `Content-Type: application/json`, or none")
		}
		return next(c)
	}
}

// strictJSON decodes bodies with exactly one JSON value and no unknown keys.
type strictJSON struct {
	echo.DefaultJSONSerializer
}

// Deserialize implements echo.JSONSerializer.
func (strictJSON) Deserialize(c echo.Context, into any) error {
	decoder := json.NewDecoder(c.Request().Body)
	decoder.DisallowUnknownFields()
	err := decoder.Decode(into)
	var large *http.MaxBytesError
	var mistyped *json.UnmarshalTypeError
	var day *time.ParseError
	switch {
	case errors.Is(err, io.EOF): // an empty body of unknown length
		return nil
	case errors.As(err, &large):
		return large
	case errors.As(err, &mistyped) && mistyped.Field != "": // such as 5.0, which JSON Schema takes for an integer
		return invalid(mistyped.Field, mistyped.Field+": use a whole number without a fraction")
	case errors.As(err, &day): // such as February 30
		return web.Refuse(http.StatusBadRequest, "the body has a time that does not exist: "+useTime)
	case err != nil:
		return web.Refuse(http.StatusBadRequest, errNotJSON)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return web.Refuse(http.StatusBadRequest, "the body contains more than one JSON value")
	}
	return nil
}
