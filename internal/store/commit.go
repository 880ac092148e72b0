package store

import (
	"context"
	"fmt"
)

// commitTogether commits a group. Requests that cannot be committed with the others are
// committed alone, so that none fails or waits because of another.
func (s *Store) commitTogether(ctx context.Context, requests []*request) {
	deferred, moves, err := s.commitGroup(ctx, requests, false)
	switch {
	case err == nil:
		s.finish(requests, deferred)
	case len(requests) == 1 || ctx.Err() != nil || transient(err):
		for _, r := range requests {
			r.err = err
		}
		s.finish(requests, nil)
	default: // one request made the whole group fail
		deferred = requests
	}
	for _, r := range deferred {
		s.commits.running.Go(func() { s.commitAlone(r) })
	}
	s.changed(context.Background(), moves)
}

// commitAlone waits for the file's lock until the caller's context ends.
func (s *Store) commitAlone(r *request) {
	alone := []*request{r}
	_, moves, err := s.commitGroup(r.ctx, alone, true)
	if err != nil {
		r.err = err
	}
	s.finish(alone, nil)
	s.changed(context.Background(), moves)
}

func (r *request) op() string { return "record a change of file " + r.id }

// ended returns the error of a request whose caller's context has ended.
func (r *request) ended() error { return fmt.Errorf("%s: %w", r.op(), context.Cause(r.ctx)) }
