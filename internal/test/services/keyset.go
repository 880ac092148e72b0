package services

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"stevedore/internal/credentials"
)

// Keyset returns the keys of a new keyset file, which is removed when the test ends.
func Keyset(t testing.TB) *credentials.Sealer {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keyset.json")
	require.NoError(t, credentials.Generate(path))
	keys, err := credentials.Open(path)
	require.NoError(t, err)
	return keys
}
