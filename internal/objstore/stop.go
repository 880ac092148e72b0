package objstore

import (
	"context"
	"time"

	"stevedore/internal/ingest"
)

// until returns a context that is cancelled with ErrStopped some time after stop
// was closed, so that requests in flight can finish.
func (s *Store) until(ctx context.Context, stop <-chan struct{}) (_ context.Context, release func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-ctx.Done():
			return
		case <-stop:
		}
		grace := time.NewTimer(s.stopGrace)
		defer grace.Stop()
		select {
		case <-ctx.Done():
		case <-grace.C:
			cancel(ingest.ErrStopped)
		}
	}()
	return ctx, func() { cancel(nil) }
}

// stopped returns ErrStopped for an error caused by the end of the grace period.
func stopped(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause == ingest.ErrStopped { //nolint:errorlint // the cause is never wrapped
		return cause
	}
	return err
}

// stopping reports whether no further part may start.
func (w *writer) stopping() bool {
	select {
	case <-w.req.Stop:
		return true
	default:
		return false
	}
}
