package access

import (
	"context"
	"sync"
)

const (
	// maxLookups bounds concurrent lookups of unknown tokens, so that guessing leaves the
	// ledger's other connections free.
	maxLookups = 3
	// maxKnown bounds the number of remembered tokens.
	maxKnown = 10_000
)

// lookups bounds concurrent token lookups. Tokens that were valid before do not wait behind
// unknown ones. It grants no access: each token is looked up for each request.
type lookups struct {
	slots chan struct{}
	mu    sync.Mutex
	known map[Digest]bool
}

func newLookups() *lookups {
	return &lookups{slots: make(chan struct{}, maxLookups), known: map[Digest]bool{}}
}

// enter waits for a slot. leave releases it and stores whether the token was valid or
// refused; after an error it is neither.
func (l *lookups) enter(ctx context.Context, digest Digest) (leave func(valid, refused bool), err error) {
	if l.isKnown(digest) {
		return func(_, refused bool) { l.note(digest, false, refused) }, nil
	}
	select {
	case l.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return func(valid, refused bool) {
		<-l.slots
		l.note(digest, valid, refused)
	}, nil
}

func (l *lookups) isKnown(digest Digest) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.known[digest]
}

func (l *lookups) note(digest Digest, valid, refused bool) {
	if !valid && !refused {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if refused {
		delete(l.known, digest)
		return
	}
	if len(l.known) >= maxKnown {
		clear(l.known)
	}
	l.known[digest] = true
}
