package ingest_test

import (
	"path"
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

func TestCommonChecksumFilesAreRecognized(t *testing.T) {
	t.Parallel()
	paths := ingest.CommonChecksumFiles("/in/a.csv")
	require.Equal(t, []string{"/in/a.csv.sha256", "/in/a.csv.sha512", "/in/a.csv.md5", "/in/SHA256SUMS"}, paths)
	for _, p := range paths {
		sums, ok := ingest.ParseChecksumName(path.Base(p))
		require.True(t, ok, p)
		require.True(t, sums.Shared() || sums.Base == "a.csv", p)
	}
}
