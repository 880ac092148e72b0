package activities

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
)

// shares limits a worker's transfers and divides them among servers. Up to limit,
// transfers of any server run. Beyond it each server has a guaranteed share, so that
// servers with slow transfers cannot block others; the total never exceeds twice the
// limit. The zero value has no limit.
type shares struct {
	mu    sync.Mutex
	limit int
	// running and waiting are by server; total counts all running transfers.
	running map[string]int
	waiting map[string][]chan struct{}
	total   int
}

func newShares(most int) *shares {
	return &shares{limit: most, running: map[string]int{}, waiting: map[string][]chan struct{}{}}
}

// TransferTasks returns how many transfer tasks a worker accepts with the limit most:
// it includes the guaranteed shares beyond the limit, and waiting transfers.
func TransferTasks(most int) int { return 3 * most }

// guaranteed returns the number of transfers of one server that may run beyond the limit; as
// many again may wait.
func (s *shares) guaranteed() int { return max(1, s.limit/4) }

func (s *shares) mayRun(server string) bool {
	return s.total < s.limit || s.running[server] < s.guaranteed() && s.total < 2*s.limit
}

// acquire waits until a transfer of the server may run; the caller must call leave after
// it. ok is false if too many of the server's transfers are waiting already: they would
// keep tasks of other servers out.
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

// stop ends a transfer and starts waiting ones, first of the server with the fewest
// running.
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

// cancelWait ends a wait; if its turn has come meanwhile, it is passed on.
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

// removeChannel removes a channel of the server. The caller holds the lock of the map.
func removeChannel(channels map[string][]chan struct{}, server string, c chan struct{}) {
	left := slices.DeleteFunc(channels[server], func(other chan struct{}) bool { return other == c })
	if channels[server] = left; len(left) == 0 {
		delete(channels, server)
	}
}

// typeShare is the error type of a transfer that was not started because its server has
// reached its share of this worker.
const typeShare = "share"

// shareDelay is the delay before a transfer without a share is retried, perhaps on
// another worker; it grows with the attempts.
func shareDelay(attempt int32) time.Duration {
	return min(time.Duration(attempt)*5*time.Second, time.Minute)
}

// acquireTransfer waits until the file may be transferred on this worker; the caller must
// call leave afterwards. Its errors are already converted for Temporal.
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
		return nil, temporal.NewApplicationErrorWithOptions("the server has reached its share of this worker's transfers: the file waits", typeShare,
			temporal.ApplicationErrorOptions{
				NextRetryDelay: shareDelay(activity.GetInfo(ctx).Attempt), Category: temporal.ApplicationErrorCategoryBenign,
				Details: []any{Advance{Advanced: true}}, // waiting is no failure: rounds continue
			})
	}
	return leave, nil
}
