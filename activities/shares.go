package activities

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
)

// shares divides a worker's transfers among servers. Up to the most, transfers of
// any server run. Beyond that each server is assured of a few, so that partners
// whose transfers take for ever starve nobody; all together never run more than
// twice the most. The zero value lets everything run.
type shares struct {
	mu    sync.Mutex
	limit int
	// running and waiting are by server; all counts what runs.
	running map[string]int
	waiting map[string][]chan struct{}
	total   int
}

func newShares(most int) *shares {
	return &shares{limit: most, running: map[string]int{}, waiting: map[string][]chan struct{}{}}
}

// TransfersAtOnce is how many tasks a worker takes to run at most so many transfers
// of its own accord: those that servers are assured of besides, and some that wait.
func TransfersAtOnce(most int) int { return 3 * most }

// assured is how many transfers of a server run although others take all there is,
// and how many of it may wait in this process.
func (s *shares) guaranteed() int { return max(1, s.limit/4) }

func (s *shares) mayRun(server string) bool {
	return s.total < s.limit || s.running[server] < s.guaranteed() && s.total < 2*s.limit
}

// enter waits until a transfer of the server may run; leave must be called after it.
// ok is false when enough of the server's transfers wait here already: they would
// keep those of others out.
func (s *shares) acquire(ctx context.Context, server string) (leave func(), ok bool, err error) {
	if s == nil || s.limit <= 0 {
		return func() {}, true, nil
	}
	s.mu.Lock()
	if s.mayRun(server) {
		s.start(server)
		s.mu.Unlock()
		return s.releaser(server), true, nil
	}
	if len(s.waiting[server]) >= s.guaranteed() {
		s.mu.Unlock()
		return nil, false, nil
	}
	turn := make(chan struct{})
	s.waiting[server] = append(s.waiting[server], turn)
	s.mu.Unlock()
	select {
	case <-turn:
		return s.releaser(server), true, nil
	case <-ctx.Done():
		s.cancelWait(server, turn)
		return nil, false, context.Cause(ctx)
	}
}

func (s *shares) releaser(server string) func() {
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.stop(server)
	})
}

func (s *shares) start(server string) {
	s.running[server]++
	s.total++
}

// stop ends a transfer and starts those whose turn has come: of the server that has
// the fewest.
func (s *shares) stop(server string) {
	s.total--
	if s.running[server]--; s.running[server] == 0 {
		delete(s.running, server)
	}
	for {
		next, found := "", false
		for candidate := range s.waiting {
			if s.mayRun(candidate) && (!found || s.running[candidate] < s.running[next]) {
				next, found = candidate, true
			}
		}
		if !found {
			return
		}
		turn := s.waiting[next][0]
		removeChannel(s.waiting, next, turn)
		s.start(next)
		close(turn)
	}
}

// giveUp takes back a wait; a turn that came meanwhile goes to another one.
func (s *shares) cancelWait(server string, turn chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-turn:
		s.stop(server)
	default:
		removeChannel(s.waiting, server, turn)
	}
}

// drop removes a channel of the server. The caller holds the lock of the map.
func removeChannel(channels map[string][]chan struct{}, server string, c chan struct{}) {
	left := slices.DeleteFunc(channels[server], func(other chan struct{}) bool { return other == c })
	if channels[server] = left; len(left) == 0 {
		delete(channels, server)
	}
}

// typeShare is the type of the error of a transfer that was not begun because its
// server has its share of this worker.
const typeShare = "share"

// shareDelay is how soon a transfer that was not begun is tried again, perhaps on
// another worker: longer with each attempt.
func shareDelay(attempt int32) time.Duration {
	return min(time.Duration(attempt)*5*time.Second, time.Minute)
}

// turn waits until the file may be transferred on this worker; leave must be called
// when it was. The error is Temporal's.
func (a *Activities) acquireTransfer(ctx context.Context, fileUUID string) (leave func(), err error) {
	file, err := a.Ledger.File(ctx, fileUUID)
	if err != nil {
		return nil, applicationError(err)
	}
	waiting, stop := startHeartbeat(ctx, nil)
	defer stop()
	leave, ok, err := a.shares.acquire(waiting, file.ServerUUID)
	switch {
	case err != nil:
		return nil, applicationError(err)
	case !ok:
		return nil, temporal.NewApplicationErrorWithOptions("the server has its share of this worker's transfers: the file waits for its turn", typeShare,
			temporal.ApplicationErrorOptions{
				NextRetryDelay: shareDelay(activity.GetInfo(ctx).Attempt), Category: temporal.ApplicationErrorCategoryBenign,
				Details: []any{Advance{Advanced: true}}, // it is worth another round, however many it takes
			})
	}
	return leave, nil
}
