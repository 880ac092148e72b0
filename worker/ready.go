package worker

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"stevedore/internal/ingest"
	"stevedore/internal/operations"
)

// readyFor is the lifetime of a cached answer. /readyz needs no token, so the
// number of checks must not depend on the number of requests.
const readyFor = 1500 * time.Millisecond

// checks returns the checks of the parts that only this worker can report on.
func (w *adapters) checks() []operations.Check {
	return []operations.Check{
		{Part: "postgres", Run: w.store.Ping},
		{Part: "staging", Run: func(context.Context) error { return w.staging.Check() }},
	}
}

// readiness serves /readyz: the state of each part.
type readiness struct {
	ask func(context.Context) []operations.PartStatus
	// gate decides who sees error messages: only callers with a token.
	gate *gate
	now  func() time.Time
	log  *slog.Logger

	mu       sync.Mutex
	at       time.Time
	statuses []operations.PartStatus
	down     bool // as last logged
}

// readyPart is one part in the response.
type readyPart struct {
	Name    string `json:"name"`
	Ready   bool   `json:"ready"`
	Message string `json:"message,omitempty"`
}

// ServeHTTP implements http.Handler.
func (r *readiness) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	response := struct {
		Status string      `json:"status"`
		Parts  []readyPart `json:"parts"`
	}{Status: "ready"}
	status, statuses := http.StatusOK, r.latest(request.Context())
	showErrors := false
	if slices.ContainsFunc(statuses, func(part operations.PartStatus) bool { return part.Err != nil }) {
		_, refused := r.gate.check(request)
		showErrors = refused == nil
	}
	for _, part := range statuses {
		shown := readyPart{Name: part.Part, Ready: part.Err == nil}
		if part.Err != nil {
			response.Status, status = "not ready", http.StatusServiceUnavailable
			if showErrors {
				shown.Message = partMessage(part.Err)
			}
		}
		response.Parts = append(response.Parts, shown)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(response) // fails only when the client is gone
}

// latest returns the state of the parts, at most readyFor old, and logs a change.
func (r *readiness) latest(ctx context.Context) []operations.PartStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.statuses != nil && r.now().Sub(r.at) < readyFor {
		return r.statuses
	}
	r.statuses, r.at = r.ask(context.WithoutCancel(ctx)), r.now() // each check has a timeout
	was := r.down
	r.down = false
	for _, part := range r.statuses {
		if part.Err == nil {
			continue
		}
		if r.down = true; !was {
			r.log.WarnContext(ctx, "not ready", "part", part.Part, "error", partMessage(part.Err))
		}
	}
	if was && !r.down {
		r.log.InfoContext(ctx, "all parts are ready")
	}
	return r.statuses
}

// partMessage returns the message without its cause: drivers may put addresses or
// user names there.
func partMessage(err error) string {
	var known *ingest.Error
	if errors.As(err, &known) {
		return known.Message
	}
	return ingest.Summary(err.Error())
}
