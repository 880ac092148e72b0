package wiring

import "context"

// lazy opens a part on first use and keeps it. A failure is not kept: the next use tries
// again. It is safe for concurrent use.
type lazy[T any] struct {
	open func(ctx context.Context) (T, error)
	// slot has one value. Only the goroutine that receives it may open the part. Unlike a
	// mutex, a channel can be awaited with a context.
	slot chan opened[T]
}

type opened[T any] struct {
	part T
	ok   bool
}

func newLazy[T any](open func(ctx context.Context) (T, error)) *lazy[T] {
	l := &lazy[T]{open: open, slot: make(chan opened[T], 1)}
	l.slot <- opened[T]{}
	return l
}

// get returns the part and opens it if necessary, bounded by the context.
func (l *lazy[T]) get(ctx context.Context) (part T, err error) {
	var o opened[T]
	select {
	case o = <-l.slot:
	case <-ctx.Done():
		return part, ctx.Err()
	}
	defer func() { l.slot <- o }()
	if o.ok {
		return o.part, nil
	}
	if part, err = l.open(ctx); err != nil {
		return part, err
	}
	o = opened[T]{part: part, ok: true}
	return part, nil
}

// close calls fn with the part if it is open.
func (l *lazy[T]) close(fn func(T)) {
	o := <-l.slot
	if o.ok {
		fn(o.part)
	}
	l.slot <- opened[T]{}
}
