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

	"stevedore/internal/admin"
	"stevedore/internal/ingest"
)

// readyFor is how long an answer is given again: anybody may ask.
const readyFor = 1500 * time.Millisecond

// checks are the parts that a worker cannot do without and nothing else reports.
func (w *world) checks() []admin.Check {
	return []admin.Check{
		{Part: "postgres", Run: w.store.Ping},
		{Part: "staging", Run: func(context.Context) error { return w.staging.Check() }},
	}
}

// readiness answers /readyz with the state of each part.
type readiness struct {
	ask func(context.Context) []admin.PartStatus
	// recognized lets those read the reasons who have a token.
	recognized *gate
	now        func() time.Time
	log        *slog.Logger

	mu       sync.Mutex
	at       time.Time
	statuses []admin.PartStatus
	down     bool // as the log has it
}

// readyPart is one part in the answer.
type readyPart struct {
	Name    string `json:"name"`
	Ready   bool   `json:"ready"`
	Message string `json:"message,omitempty"`
}

// ServeHTTP implements http.Handler.
func (r *readiness) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	answer := struct {
		Status string      `json:"status"`
		Parts  []readyPart `json:"parts"`
	}{Status: "ready"}
	status, statuses := http.StatusOK, r.latest(request.Context())
	recognized := false
	if slices.ContainsFunc(statuses, func(part admin.PartStatus) bool { return part.Err != nil }) {
		_, refused := r.recognized.check(request)
		recognized = refused == nil
	}
	for _, part := range statuses {
		shown := readyPart{Name: part.Part, Ready: part.Err == nil}
		if part.Err != nil {
			answer.Status, status = "not ready", http.StatusServiceUnavailable
			if recognized {
				shown.Message = partMessage(part.Err)
			}
		}
		answer.Parts = append(answer.Parts, shown)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer) // a client that is gone asks again
}

// latest returns the state of the parts, at most readyFor old, and logs a change.
func (r *readiness) latest(ctx context.Context) []admin.PartStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.statuses != nil && r.now().Sub(r.at) < readyFor {
		return r.statuses
	}
	r.statuses, r.at = r.ask(context.WithoutCancel(ctx)), r.now() // each check has a time-out
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

// partMessage keeps causes, which drivers word freely, out of the answer.
func partMessage(err error) string {
	var known *ingest.Error
	if errors.As(err, &known) {
		return known.Message
	}
	return ingest.Summary(err.Error())
}
