package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	s := setup(t)
	ctx := t.Context()
	live, old, token := [32]byte{1}, [32]byte{2}, [32]byte{3}
	require.NoError(t, s.OpenSession(ctx, live, token, time.Hour))
	require.NoError(t, s.OpenSession(ctx, live, token, time.Hour), "a repeated write is recognized")
	require.NoError(t, s.OpenSession(ctx, old, token, -time.Second))
	got, err := s.SessionToken(ctx, live)
	require.NoError(t, err)
	require.Equal(t, token, got)
	_, err = s.SessionToken(ctx, old)
	require.Equal(t, ingest.KindMissing, ingest.KindOf(err))
	require.NoError(t, s.CloseSession(ctx, live))
	require.NoError(t, s.CloseSession(ctx, live))
	_, err = s.SessionToken(ctx, live)
	require.Equal(t, ingest.KindMissing, ingest.KindOf(err))
}
