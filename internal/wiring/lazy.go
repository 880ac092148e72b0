package wiring

import "context"

// lazy opens a part when it is first needed and keeps it. A failed try is not
// kept: the next user tries again.
type lazy[T any] struct {
	open func(ctx context.Context) (T, error)
	// slot holds the part once it is open. Whoever takes it is the only one
	// that opens; a channel, unlike a mutex, can be waited for with a context.
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

// get returns the part. Its context bounds the opening, too.
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

// peek returns the part if it is open, and waits for nothing.
func (l *lazy[T]) peek() (part T, ok bool) {
	select {
	case o := <-l.slot:
		l.slot <- o
		return o.part, o.ok
	default:
		return part, false
	}
}

// close calls fn with the part if it was opened.
func (l *lazy[T]) close(fn func(T)) {
	o := <-l.slot
	if o.ok {
		fn(o.part)
	}
	l.slot <- opened[T]{}
}
