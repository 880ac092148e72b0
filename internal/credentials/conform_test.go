package credentials_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"stevedore/internal/credentials"
	"stevedore/internal/store"
	"stevedore/internal/test/services"
)

// TestCanariesConform runs one suite on PostgreSQL and on canaries.
func TestCanariesConform(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*testing.T) credentials.Canaries{
		"memory": func(*testing.T) credentials.Canaries { return &canaries{} },
		"PostgreSQL": func(t *testing.T) credentials.Canaries {
			ledger, err := store.New(t.Context(), store.Config{DatabaseURL: services.Database(t), MaxConns: 2})
			require.NoError(t, err)
			t.Cleanup(ledger.Close)
			return ledger
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conformCanaries(t, open(t))
		})
	}
}

func conformCanaries(t *testing.T, c credentials.Canaries) {
	ctx := t.Context()
	value, err := c.KeysetCanary(ctx)
	require.NoError(t, err)
	require.Nil(t, value)
	for _, step := range []struct{ earlier, sealed, kept string }{
		{"gone", "a", "a"}, {"", "b", "a"}, {"b", "c", "a"}, {"a", "d", "d"}, {"a", "e", "d"},
	} {
		kept, err := c.KeepKeysetCanary(ctx, []byte(step.earlier), []byte(step.sealed))
		require.NoError(t, err)
		require.Equal(t, step.kept, string(kept))
		value, err := c.KeysetCanary(ctx)
		require.NoError(t, err)
		require.Equal(t, step.kept, string(value))
	}
}
