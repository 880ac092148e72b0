package access

import (
	"bytes"
	"context"
	"log/slog"
	"time"

	"stevedore/internal/ingest"
)

// fakeToken is a token with its digest.
type fakeToken struct {
	digest Digest
	token  ingest.Token
}

// fakeLedger is a Ledger in memory.
type fakeLedger struct {
	Ledger   // panics at what is not faked
	tokens   []fakeToken
	audited  []ingest.AuditEntry
	auditErr error
	// outcomeErr fails CompleteEntry.
	outcomeErr error
}

func (l *fakeLedger) AddToken(_ context.Context, digest [32]byte, token ingest.Token) (ingest.Token, error) {
	l.tokens = append(l.tokens, fakeToken{digest, token})
	return token, nil
}

func (l *fakeLedger) UseToken(_ context.Context, digest [32]byte) (ingest.Token, bool, error) {
	for _, t := range l.tokens {
		if t.digest == digest {
			return t.token, t.token.RevokedAt.IsZero(), nil
		}
	}
	return ingest.Token{}, false, ingest.Errorf(ingest.KindMissing, "no such token")
}

func (l *fakeLedger) Tokens(context.Context, int) (tokens []ingest.Token, err error) {
	for _, t := range l.tokens {
		tokens = append(tokens, t.token)
	}
	return tokens, nil
}

func (l *fakeLedger) RevokeToken(_ context.Context, name string) (ingest.Token, error) {
	for i := range l.tokens {
		if l.tokens[i].token.Name == name {
			l.tokens[i].token.RevokedAt = time.Now()
			return l.tokens[i].token, nil
		}
	}
	return ingest.Token{}, ingest.Errorf(ingest.KindMissing, "no token")
}

func (l *fakeLedger) OpenSession(context.Context, Digest, Digest, time.Duration) error { return nil }

func (l *fakeLedger) CompleteEntry(_ context.Context, key string, outcome ingest.ActionOutcome, reason string) error {
	for i := range l.audited {
		if l.audited[i].Key == key {
			l.audited[i].Outcome, l.audited[i].Error = outcome, reason
		}
	}
	return l.outcomeErr
}

func (l *fakeLedger) Record(_ context.Context, e ingest.AuditEntry) error {
	l.audited = append(l.audited, e)
	return l.auditErr
}

// bundle is a Service on fakes.
type bundle struct {
	*Service
	ledger *fakeLedger
	log    bytes.Buffer
}

func setup() *bundle {
	b := &bundle{ledger: &fakeLedger{}}
	b.Service = New(b.ledger, slog.New(slog.NewTextHandler(&b.log, nil)))
	return b
}
