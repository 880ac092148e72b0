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
	// maxGroups is the number of groups committed concurrently, maxGroup the number of requests per
	// group.
	maxGroups = 2
	maxGroup  = 64
	// groupTimeout bounds the commit of a group when the database does not respond. A request
	// committed alone is bounded by its caller's context.
	groupTimeout = 30 * time.Second
)

// committer batches requests into groups. While a group is being committed, further requests
// queue for the next one. So a single caller never waits for others, and many callers share a
// commit.
type committer struct {
	mu      sync.Mutex
	waiting []*request
	// busy holds the uuids of files with a request being committed. Requests of one file are
	// committed in order.
	busy   map[string]bool
	groups int
	closed bool
	// running tracks the goroutines that commit.
	running sync.WaitGroup
}

// submit queues the request; r.done is closed when it has a result.
func (s *Store) submit(r *request) error {
	if r.ctx.Err() != nil {
		return r.ended()
	}
	c := &s.commits
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ingest.Errorf(ingest.KindTransient, "%s: the ledger is closed", r.op())
	}
	c.waiting = append(c.waiting, r)
	s.start()
	return nil
}

// start starts a committing goroutine if requests are waiting and fewer than maxGroups run;
// c.mu is held.
func (s *Store) start() {
	c := &s.commits
	if c.groups < maxGroups && len(c.waiting) > 0 {
		c.groups++
		c.running.Go(s.commitWaiting)
	}
}

// stopCommits rejects further requests and returns once all others have results.
func (s *Store) stopCommits() {
	s.commits.mu.Lock()
	s.commits.closed = true
	s.commits.mu.Unlock()
	s.commits.running.Wait()
}

// commitWaiting commits groups until no request waits.
func (s *Store) commitWaiting() {
	for requests := s.commits.next(); len(requests) > 0; requests = s.commits.next() {
		ctx, cancel := whileAwaited(requests)
		s.commitTogether(ctx, requests)
		cancel()
	}
}

// next returns the requests of the next group: at most one per file, and none of busy files. If
// there are none, the goroutine ends.
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

// finish publishes the results of the requests, except the deferred ones, and unblocks the next
// requests of their files.
func (s *Store) finish(requests, deferred []*request) {
	c := &s.commits
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range requests {
		if slices.Contains(deferred, r) {
			continue
		}
		delete(c.busy, r.id)
		close(r.done)
	}
	s.start()
}

// whileAwaited returns a context that ends when all callers have stopped waiting, or after
// groupTimeout.
func whileAwaited(requests []*request) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), groupTimeout,
		ingest.Errorf(ingest.KindTransient, "PostgreSQL has not responded for %s", groupTimeout))
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
