package access

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

// authenticator returns the same result for every token.
type authenticator struct {
	Authenticator // panics at sessions
	principal     ingest.Principal
	err           error
}

func (a *authenticator) Authenticate(context.Context, Digest) (ingest.Principal, error) {
	return a.principal, a.err
}

// TestTokensWhileTheLedgerIsDown: with TrustFor, known tokens remain accepted for a
// while; unknown and revoked tokens are refused.
func TestTokensWhileTheLedgerIsDown(t *testing.T) {
	t.Parallel()
	now, ctx, down := time.Unix(1_700_000_000, 0), t.Context(), errors.New("down")
	ledger := &authenticator{principal: ingest.Principal{Name: "ci", Role: ingest.RoleViewer}}
	guard := NewGuard(GuardConfig{Access: ledger, Token: "bootstrap", TrustFor: time.Hour, Now: func() time.Time { return now }})
	strict := NewGuard(GuardConfig{Access: ledger})
	for _, g := range []*Guard{guard, strict} {
		_, err := g.Token(ctx, "a", "good")
		require.NoError(t, err)
	}

	principal := ledger.principal
	ledger.principal, ledger.err = ingest.Principal{}, down
	now = now.Add(time.Hour - time.Second)
	got, err := guard.Token(ctx, "a", "good")
	require.NoError(t, err)
	require.Equal(t, principal, got)
	_, err = strict.Token(ctx, "a", "good")
	require.ErrorIs(t, err, down, "by default no token is trusted")
	_, err = guard.Token(ctx, "a", "other")
	require.ErrorIs(t, err, down)
	_, err = guard.Token(ctx, "a", "bootstrap")
	require.NoError(t, err)
	now = now.Add(time.Second)
	_, err = guard.Token(ctx, "a", "good")
	require.ErrorIs(t, err, down, "trust expires")

	ledger.err = nil
	_, err = guard.Token(ctx, "a", "good")
	require.NoError(t, err)
	ledger.err = ErrRefused
	_, err = guard.Token(ctx, "a", "good")
	require.ErrorIs(t, err, ErrRefused)
	ledger.err = down
	_, err = guard.Token(ctx, "a", "good")
	require.ErrorIs(t, err, down, "a revoked token is no longer trusted")
}

// TestNoBootstrapToken: without a bootstrap token, an empty secret is refused.
func TestNoBootstrapToken(t *testing.T) {
	t.Parallel()
	_, err := NewGuard(GuardConfig{Access: &authenticator{err: ErrRefused}}).Token(t.Context(), "a", "")
	require.ErrorIs(t, err, ErrRefused)
}

// sessions blocks lookups of unknown sessions until release is closed.
type sessions struct {
	Authenticator // panics at tokens
	began         chan struct{}
	release       chan struct{}
}

func (s *sessions) SessionToken(ctx context.Context, cookie string) (Digest, error) {
	if cookie == "good" {
		return DigestOf("bootstrap"), nil
	}
	s.began <- struct{}{}
	select {
	case <-s.release:
	case <-ctx.Done():
	}
	return Digest{}, ErrRefused
}

// TestUnknownSessionsLeaveConnections: guessed cookies neither delay open sessions nor occupy
// all connections to the ledger.
func TestUnknownSessionsLeaveConnections(t *testing.T) {
	t.Parallel()
	ledger := &sessions{began: make(chan struct{}, 2*maxLookups), release: make(chan struct{})}
	guard := NewGuard(GuardConfig{Access: ledger, Token: "bootstrap"})
	_, err := guard.Session(t.Context(), "good")
	require.NoError(t, err)
	var guesses sync.WaitGroup
	for range maxLookups {
		guesses.Go(func() {
			_, err := guard.Session(t.Context(), "guess")
			assert.ErrorIs(t, err, ErrRefused)
		})
		<-ledger.began
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = guard.Session(ended, "guess")
	require.ErrorIs(t, err, context.Canceled, "no slot is free")
	_, err = guard.Session(ended, "good")
	require.NoError(t, err)
	close(ledger.release)
	guesses.Wait()
}
