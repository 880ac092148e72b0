package ingest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

// Names from a server are bytes. Their lower case may be longer or shorter.
func TestChecksumNamesThatAreNotUTF8(t *testing.T) {
	t.Parallel()
	for _, name := range []string{".\x8e", "a.\x8e", "\xff.\xff\xff", "İ.İ", "a.K", ".", ""} {
		_, ok := ingest.ParseChecksumName(name)
		require.False(t, ok, "%q", name)
	}
	sums, ok := ingest.ParseChecksumName("\x8e\xff.SHA256")
	require.True(t, ok)
	require.Equal(t, "\x8e\xff", sums.Base)
}
