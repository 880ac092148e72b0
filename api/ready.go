package api

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"stevedore/api/oas"
	"stevedore/internal/admin"
	"stevedore/internal/ingest"
)

// GetReadiness asks every part and names those that are down. It needs no
// token, so it says no more than what is wrong and what to do.
func (h handlers) GetReadiness(ctx context.Context, _ oas.GetReadinessRequestObject) (oas.GetReadinessResponseObject, error) {
	parts := []oas.Part{}
	var down []string
	for _, status := range h.ops.Ready(ctx) {
		part := oas.Part{Name: status.Part, Ready: status.Err == nil}
		if status.Err != nil {
			part.Message = readyMessage(status)
			down = append(down, part.Name+": "+part.Message)
		}
		parts = append(parts, part)
	}
	if len(down) == 0 {
		return oas.GetReadiness200JSONResponse{Status: "ready", Parts: parts}, nil
	}
	problem := newProblem(http.StatusServiceUnavailable, codeNotReady, strings.Join(down, "; "))
	return oas.GetReadiness503ApplicationProblemPlusJSONResponse{
		Type: problem.Type, Title: problem.Title, Status: problem.Status, Code: problem.Code, Detail: problem.Detail, Parts: parts,
	}, nil
}

// readyMessage keeps causes, which drivers word freely, out of the answer.
func readyMessage(status admin.PartStatus) string {
	var known *ingest.Error
	if errors.As(status.Err, &known) {
		return firstLine(known.Message)
	}
	return firstLine(status.Err.Error())
}
