package api

import (
	"context"
	"net/http"

	"stevedore/api/openapi"
)

// GetReadiness returns the states of all dependencies.
func (h handlers) GetReadiness(ctx context.Context, _ openapi.GetReadinessRequestObject) (openapi.GetReadinessResponseObject, error) {
	return readinessAnswer(func(w http.ResponseWriter) error {
		return h.ready.Write(ctx, w, func() error { return stillAllowed(ctx) })
	}), nil
}

// readinessAnswer writes the response, which API and workers share.
type readinessAnswer func(http.ResponseWriter) error

// VisitGetReadinessResponse writes the response.
func (write readinessAnswer) VisitGetReadinessResponse(w http.ResponseWriter) error { return write(w) }
