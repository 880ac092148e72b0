package api

import (
	"context"
	"net/http"
	"strings"

	"stevedore/api/openapi"
	"stevedore/internal/operations"
)

// GetReadiness returns the states of all dependencies. The response is 503 only while this
// process cannot serve: a load balancer must not hide the console because of other
// dependencies. Error messages may contain addresses and user names, so only callers with
// a token get them.
func (h handlers) GetReadiness(ctx context.Context, _ openapi.GetReadinessRequestObject) (openapi.GetReadinessResponseObject, error) {
	recognized, _ := ctx.Value(recognizedKey{}).(bool)
	parts := []openapi.Part{}
	var down []string
	serves := true
	for _, status := range h.ready.Latest(ctx) {
		part := openapi.Part{Name: status.Part, Ready: status.Err == nil}
		serves = serves && (part.Ready || !operations.RequiredByAPI(status.Part))
		switch {
		case status.Err == nil:
		case recognized:
			part.Message = status.Message()
			down = append(down, part.Name+": "+part.Message)
		default:
			down = append(down, part.Name+" is down")
		}
		parts = append(parts, part)
	}
	switch {
	case len(down) == 0:
		return openapi.GetReadiness200JSONResponse{Status: openapi.ReadinessReady, Parts: parts}, nil
	case serves:
		return openapi.GetReadiness200JSONResponse{Status: openapi.ReadinessDegraded, Parts: parts}, nil
	}
	problem := newProblem(http.StatusServiceUnavailable, codeNotReady, strings.Join(down, "; "))
	return openapi.GetReadiness503ApplicationProblemPlusJSONResponse{
		Type: problem.Type, Title: problem.Title, Status: problem.Status, Code: problem.Code, Detail: problem.Detail, Parts: parts,
	}, nil
}
