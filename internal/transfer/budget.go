package transfer

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"
)

// DefaultBudget is the memory, in bytes, that a worker's file buffers share.
const DefaultBudget = 128 << 20

// Budget is an amount of memory that several transfers share. It is safe for
// concurrent use. Holders must not wait for more while they keep others from
// giving back: a transfer hands a full buffer on before it asks for the next.
type Budget struct {
	size int64
	free *semaphore.Weighted
}

// NewBudget returns a budget of so many bytes; 0 means DefaultBudget.
func NewBudget(bytes int64) *Budget {
	if bytes <= 0 {
		bytes = DefaultBudget
	}
	return &Budget{size: bytes, free: semaphore.NewWeighted(bytes)}
}

// Acquire waits until so many bytes are free, first come first served, and
// returns what gives them back; calling that more than once is harmless. A
// request larger than the budget gets all of it. The error is that of ctx.
func (b *Budget) Acquire(ctx context.Context, bytes int64) (release func(), err error) {
	bytes = min(max(bytes, 0), b.size)
	if err := b.free.Acquire(ctx, bytes); err != nil {
		return nil, err
	}
	return sync.OnceFunc(func() { b.free.Release(bytes) }), nil
}
