package operations

import (
	"context"
	"errors"
	"sync"
	"time"
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

// readyTimeout bounds each check; a dependency that needs longer counts as down.
const readyTimeout = 3 * time.Second

// PartStatus is the state of a dependency.
type PartStatus struct {
	Part string
	// Err is nil when the dependency is ready.
	Err error
}

// Ready implements Monitor.
func (s *Service) Ready(ctx context.Context) []PartStatus {
	statuses := make([]PartStatus, len(s.d.Checks))
	var wg sync.WaitGroup
	for i, check := range s.d.Checks {
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
