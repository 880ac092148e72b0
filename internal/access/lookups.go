package access

import (
	"context"
	"errors"
	"sync"
	"time"

	"stevedore/internal/ingest"
)

const (
	// maxLookups bounds concurrent lookups of unknown tokens, so that guessing leaves the
	// ledger's other connections free.
	maxLookups = 3
	// maxKnown bounds the number of remembered tokens.
	maxKnown = 10_000
)

// lookups bounds concurrent lookups of tokens and sessions. Those that were valid before do
// not wait behind unknown ones.
type lookups struct {
	slots chan struct{}
	now   func() time.Time
	mu    sync.Mutex
	known map[Digest]validToken
}

// validToken is the result of a token's last successful lookup.
type validToken struct {
	principal ingest.Principal
	at        time.Time
}

func newLookups(now func() time.Time) *lookups {
	return &lookups{slots: make(chan struct{}, maxLookups), now: now, known: map[Digest]validToken{}}
}

// enter waits for a slot. leave releases it and stores the result of the lookup.
func (l *lookups) enter(ctx context.Context, digest Digest) (leave func(ingest.Principal, error), err error) {
	if _, known := l.find(digest); known {
		return func(p ingest.Principal, err error) { l.note(digest, p, err) }, nil
	}
	select {
	case l.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return func(p ingest.Principal, err error) {
		<-l.slots
		l.note(digest, p, err)
	}, nil
}

// validWithin returns the principal of a token whose last successful lookup is at most
// age old.
func (l *lookups) validWithin(digest Digest, age time.Duration) (ingest.Principal, bool) {
	token, known := l.find(digest)
	return token.principal, known && l.now().Sub(token.at) < age
}

func (l *lookups) find(digest Digest) (token validToken, known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	token, known = l.known[digest]
	return token, known
}

func (l *lookups) note(digest Digest, p ingest.Principal, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case errors.Is(err, ErrRefused):
		delete(l.known, digest)
	case err == nil:
		if len(l.known) >= maxKnown {
			clear(l.known)
		}
		l.known[digest] = validToken{p, l.now()}
	}
}
