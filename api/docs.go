package api

import (
	"context"
	_ "embed"
	"net/http"

	"github.com/labstack/echo/v4"
	swaggerui "github.com/swaggest/swgui/v5emb"

	"stevedore/api/openapi"
)

// docsHTML loads its script from a file: the policy of the page refuses inline scripts.
//
//go:embed docs.html
var docsHTML []byte

//go:embed docs.js
var docsScript []byte

// docsPolicy is the Content-Security-Policy of the page: nothing of other hosts. Swagger UI
// needs inline styles and images in data URLs.
const docsPolicy = "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self' 'unsafe-inline'; " +
	"img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

// GetDocs returns openapi.yaml in Swagger UI.
func (h handlers) GetDocs(context.Context, openapi.GetDocsRequestObject) (openapi.GetDocsResponseObject, error) {
	return docsAnswer{}, nil
}

// docsAnswer is the page with its own character set and policy, which the generated answer
// does not set.
type docsAnswer struct{}

// VisitGetDocsResponse writes the page.
func (docsAnswer) VisitGetDocsResponse(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", docsPolicy)
	_, err := w.Write(docsHTML)
	return err
}

// docsAssets is the route of the files that the page loads. It is not in openapi.yaml.
const docsAssets = "/docs/:asset"

// swaggerUI serves the embedded files of Swagger UI.
var swaggerUI = swaggerui.New("stevedore API", "/openapi.yaml", "/docs")

func getDocsAsset(c echo.Context) error {
	c.Response().Header().Set("Cache-Control", "private, max-age=86400")
	if c.Param("asset") == "docs.js" {
		return c.Blob(http.StatusOK, "text/javascript; charset=utf-8", docsScript)
	}
	swaggerUI.ServeHTTP(c.Response(), c.Request())
	return nil
}
