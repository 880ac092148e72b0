package store

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"stevedore/internal/ingest"
)

const (
	// maxGroups is how many groups are committed at the same time, and maxGroup how
	// many requests are in each at most.
	maxGroups = 2
	maxGroup  = 64
	// groupTimeout keeps a group from waiting for ever for a database that does not
	// answer. A request that is committed alone has its caller's patience.
	groupTimeout = 30 * time.Second
)

// committer gathers requests into groups. While a group is being committed,
// further requests gather for the next: a lone caller never waits for others, and
// many callers share a commit.
type committer struct {
	mu      sync.Mutex
	waiting []*request
	// busy holds the uuids of the files that are being changed. Requests of one file
	// are committed one after the other, in their order.
	busy   map[string]bool
	groups int
	closed bool
	// running counts the goroutines that commit.
	running sync.WaitGroup
}

// submit has the request committed; r.done is closed when it has a result.
func (s *Store) submit(r *request) error {
	if r.ctx.Err() != nil {
		return r.ended()
	}
	c := &s.commits
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ingest.Errorf(ingest.KindTransient, "%s: the connections to the ledger are closed", r.op())
	}
	c.waiting = append(c.waiting, r)
	s.start()
	return nil
}

// start begins to commit what waits if there are not enough groups; c.mu is held.
func (s *Store) start() {
	c := &s.commits
	if c.groups < maxGroups && len(c.waiting) > 0 {
		c.groups++
		c.running.Go(s.commitWaiting)
	}
}

// stopCommits refuses further requests and returns once all others have results.
func (s *Store) stopCommits() {
	s.commits.mu.Lock()
	s.commits.closed = true
	s.commits.mu.Unlock()
	s.commits.running.Wait()
}

// commitWaiting commits group after group until no request waits.
func (s *Store) commitWaiting() {
	for requests := s.commits.next(); len(requests) > 0; requests = s.commits.next() {
		ctx, cancel := whileAwaited(requests)
		s.commitTogether(ctx, requests)
		cancel()
	}
}

// next returns the requests of the next group: at most one for each file, none for a
// file that is being changed. Without any the goroutine ends.
func (c *committer) next() (requests []*request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy == nil {
		c.busy = make(map[string]bool)
	}
	later := c.waiting[:0]
	for _, r := range c.waiting {
		switch {
		case r.ctx.Err() != nil:
			r.err = r.ended()
			close(r.done)
		case len(requests) == maxGroup || c.busy[r.id]:
			later = append(later, r)
		default:
			c.busy[r.id] = true
			requests = append(requests, r)
		}
	}
	clear(c.waiting[len(later):])
	c.waiting = later
	if len(requests) == 0 {
		c.groups--
	}
	return requests
}

// finish hands out the results of the requests, but for those set aside, and lets
// the next requests of their files proceed.
func (s *Store) finish(requests, aside []*request) {
	c := &s.commits
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range requests {
		if slices.Contains(aside, r) {
			continue
		}
		delete(c.busy, r.id)
		close(r.done)
	}
	s.start()
}

// whileAwaited returns a context that ends when no caller waits any more, or after
// groupTimeout.
func whileAwaited(requests []*request) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), groupTimeout,
		ingest.Errorf(ingest.KindTransient, "PostgreSQL has not answered for %s", groupTimeout))
	var awaited atomic.Int64
	awaited.Store(int64(len(requests)))
	stops := make([]func() bool, len(requests))
	for i, r := range requests {
		stops[i] = context.AfterFunc(r.ctx, func() {
			if awaited.Add(-1) == 0 {
				cancel()
			}
		})
	}
	return ctx, func() {
		for _, stop := range stops {
			stop()
		}
		cancel()
	}
}
