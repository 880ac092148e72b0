package web

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"stevedore/internal/operations"
)

// ReadyFor is the lifetime of the results that a Readiness returns. Probes need no token,
// so the number of checks must not depend on the number of requests.
const ReadyFor = 1500 * time.Millisecond

// CodeNotReady is the code of the problem while the process cannot serve.
const CodeNotReady = "not_ready"

// Readiness answers /readyz of the API and of workers. It caches the states of dependencies
// for ReadyFor and logs when they change. It is safe for concurrent use.
type Readiness struct {
	// Ask returns the current states; each check must have a timeout.
	Ask func(context.Context) []operations.PartStatus
	// Required reports whether the process cannot serve while the part is down.
	Required func(part string) bool
	Now      func() time.Time
	Log      *slog.Logger

	mu       sync.Mutex
	at       time.Time
	statuses []operations.PartStatus
	// logged is the last logged text about dependencies that are down.
	logged string
}

// latest returns states that are at most ReadyFor old. Concurrent callers share one check,
// which continues when its caller leaves.
func (r *Readiness) latest(ctx context.Context) []operations.PartStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.statuses == nil || r.Now().Sub(r.at) >= ReadyFor {
		r.statuses, r.at = r.Ask(context.WithoutCancel(ctx)), r.Now()
		r.logChange(ctx)
	}
	return r.statuses
}

func (r *Readiness) logChange(ctx context.Context) {
	text := describeDown(r.statuses, true)
	switch text {
	case r.logged:
	case "":
		r.Log.InfoContext(ctx, "all parts are ready")
	default:
		r.Log.WarnContext(ctx, "not ready", "down", text)
	}
	r.logged = text
}

// describeDown returns the parts that are down as one line, with the reasons or without.
func describeDown(statuses []operations.PartStatus, reasons bool) string {
	var down []string
	for _, status := range statuses {
		switch {
		case status.Err == nil:
		case reasons:
			down = append(down, status.Part+": "+status.Message())
		default:
			down = append(down, status.Part+" is down")
		}
	}
	return strings.Join(down, "; ")
}

// readyPart is one part in the response.
type readyPart struct {
	Name    string `json:"name"`
	Ready   bool   `json:"ready"`
	Message string `json:"message"`
}

// Write writes the states of all parts. The status is 503 only while the process cannot
// serve: a load balancer must not hide the console because of other dependencies. Error
// messages may contain addresses and user names, so authorize must return nil for callers
// who may see them; it is called only if a part is down.
func (r *Readiness) Write(ctx context.Context, w http.ResponseWriter, authorize func() error) error {
	statuses := r.latest(ctx)
	detail := describeDown(statuses, false)
	reasons := detail != "" && authorize() == nil
	parts, serves := make([]readyPart, len(statuses)), true
	for i, status := range statuses {
		parts[i] = readyPart{Name: status.Part, Ready: status.Err == nil}
		if reasons {
			parts[i].Message = status.Message()
		}
		serves = serves && (parts[i].Ready || !r.Required(status.Part))
	}
	if reasons {
		detail = describeDown(statuses, true)
	}
	body, code, mediaType := map[string]any{"status": "ready", "parts": parts}, http.StatusOK, "application/json"
	switch {
	case !serves:
		code, mediaType = http.StatusServiceUnavailable, ProblemType
		body = map[string]any{
			"type": "about:blank", "title": http.StatusText(code), "status": code, "code": CodeNotReady, "detail": detail, "parts": parts,
		}
	case detail != "":
		body["status"] = "degraded"
	}
	w.Header().Set("Content-Type", mediaType)
	w.WriteHeader(code)
	return json.NewEncoder(w).Encode(body)
}
