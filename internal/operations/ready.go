package operations

import (
	"context"
	"errors"
	"sync"
	"time"
)

// The names of parts in readiness answers.
const (
	PartPostgres    = "postgres"
	PartTemporal    = "temporal"
	PartWorker      = "worker"
	PartObjectStore = "object_store"
	PartBroker      = "broker"
	PartKeyset      = "keyset"
)

// readyTimeout bounds each check: what takes longer is as good as down.
const readyTimeout = 3 * time.Second

// PartStatus is one part's answer.
type PartStatus struct {
	Part string
	// Err is nil when the part is ready.
	Err error
}

// Ready asks all parts side by side and returns their answers in the order of
// Checks, after 3 seconds at the latest.
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

// runCheck gives up on a check that does not obey its context; the check ends
// by itself whenever it does.
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
