package operations

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"stevedore/internal/ingest"
)

// The names of dependencies in responses about readiness.
const (
	PartPostgres    = "postgres"
	PartTemporal    = "temporal"
	PartWorker      = "worker"
	PartObjectStore = "object_store"
	PartBroker      = "broker"
	PartKeyset      = "keyset"
)

// RequiredByAPI reports whether the API cannot serve while the dependency is down. Files wait
// for the others.
func RequiredByAPI(part string) bool { return part == PartPostgres || part == PartKeyset }

// readyTimeout bounds each check; a dependency that needs longer counts as down.
const readyTimeout = 3 * time.Second

// PartStatus is the state of a dependency.
type PartStatus struct {
	Part string
	// Err is nil when the dependency is ready.
	Err error
}

// Message returns one line about the error without its cause: drivers may put addresses or
// user names there. It is empty when the dependency is ready.
func (s PartStatus) Message() string {
	if s.Err == nil {
		return ""
	}
	line, _, _ := strings.Cut(ingest.Message(s.Err), "\n")
	return line
}

// ReadyFor is the lifetime of the results that a Readiness returns. Probes need no token,
// so the number of checks must not depend on the number of requests.
const ReadyFor = 1500 * time.Millisecond

// Readiness caches the states of dependencies for ReadyFor and logs when they change. It
// is safe for concurrent use.
type Readiness struct {
	// Ask returns the current states; each check must have a timeout.
	Ask func(context.Context) []PartStatus
	Now func() time.Time
	Log *slog.Logger

	mu       sync.Mutex
	at       time.Time
	statuses []PartStatus
	// logged is the last logged text about dependencies that are down.
	logged string
}

// Latest returns states that are at most ReadyFor old. Concurrent callers share one check,
// which continues when its caller leaves.
func (r *Readiness) Latest(ctx context.Context) []PartStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.statuses == nil || r.Now().Sub(r.at) >= ReadyFor {
		r.statuses, r.at = r.Ask(context.WithoutCancel(ctx)), r.Now()
		r.logChange(ctx)
	}
	return r.statuses
}

func (r *Readiness) logChange(ctx context.Context) {
	var down []string
	for _, status := range r.statuses {
		if status.Err != nil {
			down = append(down, status.Part+": "+status.Message())
		}
	}
	text := strings.Join(down, "; ")
	switch text {
	case r.logged:
	case "":
		r.Log.InfoContext(ctx, "all parts are ready")
	default:
		r.Log.WarnContext(ctx, "not ready", "down", text)
	}
	r.logged = text
}

// Ready implements Monitor.
func (s *Service) Ready(ctx context.Context) []PartStatus { return RunChecks(ctx, s.d.Checks) }

// RunChecks runs the checks concurrently, each for at most 3 seconds, and returns their
// results in the same order.
func RunChecks(ctx context.Context, checks []Check) []PartStatus {
	statuses := make([]PartStatus, len(checks))
	var wg sync.WaitGroup
	for i, check := range checks {
		wg.Go(func() {
			statuses[i] = PartStatus{Part: check.Part, Err: runCheck(ctx, check)}
		})
	}
	wg.Wait()
	return statuses
}

// runCheck runs a check for at most readyTimeout. A check that ignores its context continues
// in the background.
func runCheck(ctx context.Context, check Check) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	answer := make(chan error, 1)
	go func() { answer <- check.Run(ctx) }()
	select {
	case err := <-answer:
		if errors.Is(err, context.DeadlineExceeded) {
			return errNoAnswer
		}
		return err
	case <-ctx.Done():
		return errNoAnswer
	}
}

var errNoAnswer = errors.New("no answer within " + readyTimeout.String())
