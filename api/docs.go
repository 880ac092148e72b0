package api

import (
	"bytes"
	"context"
	_ "embed"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"

	"stevedore/api/openapi"
)

//go:embed docs.html
var docsTemplate string

// docsOperation is one operation as the page shows it.
type docsOperation struct {
	Method, Path, Summary, Description, Role string
	Parameters                               []*openapi3.Parameter
	Body                                     string
}

// docsPage renders openapi.yaml once: it does not change while the program runs.
var docsPage = sync.OnceValues(func() ([]byte, error) {
	doc, err := openapi3.NewLoader().LoadFromData(specification)
	if err != nil {
		return nil, err
	}
	operations := docsOperations(doc)
	var page bytes.Buffer
	err = template.Must(template.New("docs").Parse(docsTemplate)).Execute(&page, map[string]any{
		"Info": doc.Info, "Operations": operations, "Schemas": doc.Components.Schemas,
	})
	return page.Bytes(), err
})

func docsOperations(doc *openapi3.T) (operations []docsOperation) {
	for path, item := range doc.Paths.Map() {
		for method, operation := range item.Operations() {
			shown := docsOperation{
				Method: method, Path: path, Summary: operation.Summary, Description: operation.Description, Role: "any token",
			}
			if role, ok := operation.Extensions["x-role"].(string); ok {
				shown.Role = role
			}
			if openPaths[path] {
				shown.Role = "no token"
			}
			for _, parameter := range operation.Parameters {
				shown.Parameters = append(shown.Parameters, parameter.Value)
			}
			if operation.RequestBody != nil {
				ref := operation.RequestBody.Value.Content.Get("application/json").Schema.Ref
				shown.Body = ref[strings.LastIndexByte(ref, '/')+1:]
			}
			operations = append(operations, shown)
		}
	}
	slices.SortFunc(operations, func(x, y docsOperation) int {
		return strings.Compare(x.Path+" "+x.Method, y.Path+" "+y.Method)
	})
	return operations
}

// GetDocs shows openapi.yaml as a page.
func (h handlers) GetDocs(context.Context, openapi.GetDocsRequestObject) (openapi.GetDocsResponseObject, error) {
	page, err := docsPage()
	return docsAnswer(page), err
}

// docsAnswer says its character set, which the generated answer does not, and
// may load the console's style sheet.
type docsAnswer []byte

// VisitGetDocsResponse writes the page.
func (p docsAnswer) VisitGetDocsResponse(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; frame-ancestors 'none'")
	_, err := w.Write(p)
	return err
}
