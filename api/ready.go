package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"stevedore/api/openapi"
	"stevedore/internal/ingest"
	"stevedore/internal/operations"
)

// readyFor is how long an answer of all parts is given again: anybody may ask,
// and each time all parts would have to answer.
const readyFor = 1500 * time.Millisecond

// GetReadiness asks every part and names those that are down. Why is for those
// alone who come with a token: it names addresses and users.
func (h handlers) GetReadiness(ctx context.Context, _ openapi.GetReadinessRequestObject) (openapi.GetReadinessResponseObject, error) {
	recognized, _ := ctx.Value(recognizedKey{}).(bool)
	parts := []openapi.Part{}
	var down []string
	for _, status := range h.ready.ask(ctx, h.ops) {
		part := openapi.Part{Name: status.Part, Ready: status.Err == nil}
		switch {
		case status.Err == nil:
		case recognized:
			part.Message = readyMessage(status)
			down = append(down, part.Name+": "+part.Message)
		default:
			down = append(down, part.Name+" is down")
		}
		parts = append(parts, part)
	}
	if len(down) == 0 {
		return openapi.GetReadiness200JSONResponse{Status: "ready", Parts: parts}, nil
	}
	problem := newProblem(http.StatusServiceUnavailable, codeNotReady, strings.Join(down, "; "))
	return openapi.GetReadiness503ApplicationProblemPlusJSONResponse{
		Type: problem.Type, Title: problem.Title, Status: problem.Status, Code: problem.Code, Detail: problem.Detail, Parts: parts,
	}, nil
}

// readiness is what all parts answered the last time.
type readiness struct {
	now func() time.Time
	log *slog.Logger

	mu    sync.Mutex
	at    time.Time
	parts []operations.PartStatus
	// told is what the log was told last.
	told string
}

// ask returns what the parts answer, or answered a moment ago. Whoever comes
// meanwhile waits for the same answers, whether or not the first one stays.
func (r *readiness) ask(ctx context.Context, ops operations.Monitor) []operations.PartStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.parts == nil || r.now().Sub(r.at) >= readyFor {
		r.parts = ops.Ready(context.WithoutCancel(ctx)) // it has a time-out of its own
		r.at = r.now()
		r.tell(ctx)
	}
	return r.parts
}

// tell logs why parts are down when that changes.
func (r *readiness) tell(ctx context.Context) {
	var down []string
	for _, status := range r.parts {
		if status.Err != nil {
			down = append(down, status.Part+": "+readyMessage(status))
		}
	}
	text := strings.Join(down, "; ")
	switch text {
	case r.told:
	case "":
		r.log.InfoContext(ctx, "all parts are ready")
	default:
		r.log.WarnContext(ctx, "not ready", "down", text)
	}
	r.told = text
}

// readyMessage keeps causes, which drivers word freely, out of the answer.
func readyMessage(status operations.PartStatus) string {
	var known *ingest.Error
	if errors.As(status.Err, &known) {
		return firstLine(known.Message)
	}
	return firstLine(status.Err.Error())
}
