package store

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"
)

// turns lets one caller per key proceed at a time, in order of arrival. Callers that wait use
// no database connection: a scan pass may log in to a thousand servers of an account, and
// would otherwise occupy the pool. The zero value is ready.
type turns struct {
	mu   sync.Mutex
	keys map[string]*turn
}

type turn struct {
	free *semaphore.Weighted
	// callers is the number that hold or await the turn; the last one removes it.
	callers int
}

// next waits for the caller's turn. The error is that of ctx. The caller calls done afterwards.
func (t *turns) next(ctx context.Context, key string) (done func(), err error) {
	t.mu.Lock()
	own, ok := t.keys[key]
	if !ok {
		if t.keys == nil {
			t.keys = map[string]*turn{}
		}
		own = &turn{free: semaphore.NewWeighted(1)}
		t.keys[key] = own
	}
	own.callers++
	t.mu.Unlock()
	if err := own.free.Acquire(ctx, 1); err != nil {
		t.leave(key, own)
		return nil, err
	}
	return func() {
		own.free.Release(1)
		t.leave(key, own)
	}, nil
}

func (t *turns) leave(key string, own *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if own.callers--; own.callers == 0 {
		delete(t.keys, key)
	}
}
