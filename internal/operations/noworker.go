package operations

import (
	"context"
	"errors"
	"time"

	"stevedore/internal/ingest"
	"stevedore/internal/orchestrator"
)

// workerCheckInterval is the interval at which a request that waits for a worker checks
// that one runs.
const workerCheckInterval = 2 * time.Second

// noWorker returns the error that no worker runs, with its advice; nil when one runs or
// when that cannot be checked.
func (s *Service) noWorker(ctx context.Context) error {
	for _, check := range s.d.Checks {
		if check.Part != PartWorker {
			continue
		}
		if err := runCheck(ctx, check); errors.Is(err, orchestrator.ErrNoWorker) {
			return ingest.Errorf(ingest.KindTransient, "%s", ingest.Message(err))
		}
	}
	return nil
}

// awaitWorker calls wait, which needs a worker for its result, and ends it when no worker
// runs: Temporal would report only a timeout.
func (s *Service) awaitWorker(ctx context.Context, wait func(context.Context) error) error {
	waiting, stop := context.WithCancelCause(ctx)
	checked := make(chan struct{})
	go func() {
		defer close(checked)
		again := time.NewTicker(workerCheckInterval)
		defer again.Stop()
		for {
			select {
			case <-waiting.Done():
				return
			case <-again.C:
				if err := s.noWorker(waiting); err != nil {
					stop(err)
					return
				}
			}
		}
	}()
	err := wait(waiting)
	cause := context.Cause(waiting)
	stop(nil)
	<-checked
	if err != nil && cause != nil && ctx.Err() == nil {
		return cause
	}
	return err
}
