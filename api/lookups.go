package api

import (
	"context"
	"crypto/sha256"
	"sync"
)

const (
	// lookupsAtOnce is how many unknown tokens are looked up side by side:
	// whoever tries many leaves the ledger's other connections alone.
	lookupsAtOnce = 3
	// maxKnown bounds how many tokens are remembered.
	maxKnown = 10_000
)

// lookups bounds how many tokens are looked up at once. Those that were valid
// the last time do not wait behind those that nobody knows. What is remembered
// lets nobody in: each token is looked up every time.
type lookups struct {
	places chan struct{}
	mu     sync.Mutex
	known  map[[sha256.Size]byte]bool
}

func newLookups() *lookups {
	return &lookups{places: make(chan struct{}, lookupsAtOnce), known: map[[sha256.Size]byte]bool{}}
}

// enter waits for a place. leave gives it back, and says whether the token was
// found valid or was refused; it may have been neither.
func (l *lookups) enter(ctx context.Context, digest [sha256.Size]byte) (leave func(valid, refused bool), err error) {
	if l.isKnown(digest) {
		return func(_, refused bool) { l.note(digest, false, refused) }, nil
	}
	select {
	case l.places <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return func(valid, refused bool) {
		<-l.places
		l.note(digest, valid, refused)
	}, nil
}

func (l *lookups) isKnown(digest [sha256.Size]byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.known[digest]
}

func (l *lookups) note(digest [sha256.Size]byte, valid, refused bool) {
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
