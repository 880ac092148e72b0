package worker

import (
	"context"
	"encoding/json"
	"net/http"

	"stevedore/internal/operations"
)

// checks returns the checks of the parts that only this worker can report on.
func (w *adapters) checks() []operations.Check {
	return []operations.Check{
		{Part: operations.PartPostgres, Run: w.store.Ping},
		{Part: "staging", Run: func(context.Context) error { return w.staging.Check() }},
	}
}

// readiness serves /readyz: the state of each part.
type readiness struct {
	operations.Readiness
	// authorize returns nil for a caller who may see error messages.
	authorize func(*http.Request) error
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
	status := http.StatusOK
	for _, part := range r.Latest(request.Context()) {
		response.Parts = append(response.Parts, readyPart{Name: part.Part, Ready: part.Err == nil, Message: part.Message()})
		if part.Err != nil {
			response.Status, status = "not ready", http.StatusServiceUnavailable
		}
	}
	if status != http.StatusOK && r.authorize(request) != nil {
		for i := range response.Parts {
			response.Parts[i].Message = ""
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(response) // fails only when the client is gone
}
