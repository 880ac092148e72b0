package operations

import (
	"context"
	"errors"
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
	text := s.Err.Error()
	var known *ingest.Error
	if errors.As(s.Err, &known) {
		text = known.Message
	}
	line, _, _ := strings.Cut(text, "\n") // before escaping, which ingest.Message does
	return ingest.DisplayPath(line)
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
