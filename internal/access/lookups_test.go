package access

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

// TestKnownTokensDoNotWaitBehindUnknownOnes: guessing tokens neither
// delays valid ones nor occupies all connections to the ledger.
func TestKnownTokensDoNotWaitBehindUnknownOnes(t *testing.T) {
	t.Parallel()
	l, ctx := newLookups(time.Now), t.Context()
	good, bad := DigestOf("good"), DigestOf("bad")
	leave, err := l.enter(ctx, good)
	require.NoError(t, err)
	leave(ingest.Principal{}, nil)
	var leaves []func(ingest.Principal, error)
	for range maxLookups {
		leave, err := l.enter(ctx, bad)
		require.NoError(t, err)
		leaves = append(leaves, leave)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err = l.enter(ended, bad)
	require.ErrorIs(t, err, context.Canceled, "no slot is free")
	leave, err = l.enter(ended, good)
	require.NoError(t, err)
	leave(ingest.Principal{}, ErrRefused) // revoked meanwhile
	_, err = l.enter(ended, good)
	require.ErrorIs(t, err, context.Canceled)
	leaves[0](ingest.Principal{}, ErrRefused)
	_, err = l.enter(ctx, bad)
	require.NoError(t, err)
}
