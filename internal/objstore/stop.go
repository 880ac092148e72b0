package objstore

import (
	"context"
	"time"

	"stevedore/internal/ingest"
)

// until returns a context that is cancelled with ErrStopped some time after
// stop was closed: what is under way then may still become safe.
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

// stopped is the reason for an error that the end of the grace has made.
func stopped(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause == ingest.ErrStopped { //nolint:errorlint // the cause is never wrapped
		return cause
	}
	return err
}

// stopping reports whether no part is to be begun any more.
func (w *writer) stopping() bool {
	select {
	case <-w.req.Stop:
		return true
	default:
		return false
	}
}
