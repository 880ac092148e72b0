package transfer

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"
)

// DefaultBudget is the memory, in bytes, that a worker's file buffers share.
const DefaultBudget = 128 << 20

// Budget is an amount of memory that several transfers share. It is safe for
// concurrent use. To avoid deadlock, a transfer hands a full buffer on before it
// acquires the next one.
type Budget struct {
	size int64
	free *semaphore.Weighted
}

// NewBudget returns a budget in bytes; 0 means DefaultBudget.
func NewBudget(bytes int64) *Budget {
	if bytes <= 0 {
		bytes = DefaultBudget
	}
	return &Budget{size: bytes, free: semaphore.NewWeighted(bytes)}
}

// Acquire waits until the bytes are available, in the order of the calls, and
// returns a function that releases them, which may be called more than once. A
// request larger than the budget acquires all of it. The error is that of ctx.
func (b *Budget) Acquire(ctx context.Context, bytes int64) (release func(), err error) {
	bytes = min(max(bytes, 0), b.size)
	if err := b.free.Acquire(ctx, bytes); err != nil {
		return nil, err
	}
	return sync.OnceFunc(func() { b.free.Release(bytes) }), nil
}
