package sftp_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/sftp"
	"stevedore/internal/test/services"
)

// TestBytesOfAListingAreBounded checks the limit over all folders of a listing, each of
// which is within its own limit.
func TestBytesOfAListingAreBounded(t *testing.T) {
	t.Parallel()
	b := newBehaviorFixture(t, sftp.Config{MaxBytes: 1 << 20})
	for i := range 40 {
		b.File(fmt.Sprintf("%02d/f", i), "1")
	}
	wide := join(uint32(1), "f", strings.Repeat("w", 50_000), file(1))
	b.SetFaults(services.TreeFaults{Names: func(folder string, n int) []byte {
		if folder != "/in" && n == 0 {
			return wide
		}
		return nil
	}})
	_, _, err := b.listing(t, b.open(t), ingest.ListRequest{})
	requireKind(t, err, ingest.KindInvalid, "1 MiB of names")
}

// TestUnvisitedFoldersAreBounded checks that a folder with too many subfolders is
// reported and that the rest of the listing is kept.
func TestUnvisitedFoldersAreBounded(t *testing.T) {
	t.Parallel()
	b := newBehaviorFixture(t, sftp.Config{MaxBytesPerFolder: 64 << 10})
	for i := range 200 {
		b.Folder(fmt.Sprintf("a/%0200d", i))
		b.Folder(fmt.Sprintf("a/%0200d/%0200d", 0, i))
	}
	b.File("a/f.csv", "1")
	b.File("z/f.csv", "1")
	b.SetFaults(services.TreeFaults{NoLong: true})
	seen, unread, err := b.listing(t, b.open(t), ingest.ListRequest{})
	require.NoError(t, err)
	assert.Contains(t, seen, "z/f.csv")
	require.NotZero(t, unread.Count)
	for _, f := range unread.Folders {
		assert.Equal(t, "has too many subfolders, which were not listed", f.Reason)
	}
}
