package operations

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

func manyFiles(n int) []ingest.File {
	files := make([]ingest.File, n)
	for i := range files {
		files[i] = ingest.File{ID: int64(i + 1), UUID: fmt.Sprintf("uuid-%d", i+1)}
	}
	return files
}

func TestListFilesPages(t *testing.T) {
	t.Parallel()
	b := setup()
	b.ledger.files = manyFiles(5)
	page, err := b.ListFiles(context.Background(), ingest.FileFilter{Limit: 2})
	require.NoError(t, err)
	require.Len(t, page.Items, 2)
	require.EqualValues(t, 2, page.Next)
	page, err = b.ListFiles(context.Background(), ingest.FileFilter{Limit: 2, AfterID: 3})
	require.NoError(t, err)
	require.Len(t, page.Items, 2)
	require.Zero(t, page.Next, "the last page has no next")
}

func TestListFilesOfUnknownServer(t *testing.T) {
	t.Parallel()
	_, err := setup().ListFiles(context.Background(), ingest.FileFilter{Server: "typo"})
	require.ErrorIs(t, err, ingest.ErrNotFound)
}

func TestEventsReadsAllPages(t *testing.T) {
	t.Parallel()
	b := setup()
	b.ledger.files = manyFiles(1)
	b.ledger.addEvents("uuid-1", 1500)
	events, err := b.FileEvents(context.Background(), "uuid-1")
	require.NoError(t, err)
	require.Len(t, events, 1500)
}

// 1,000 unprintable names of 4 KiB are split into several pages without a gap.
func TestAPageOfLongNamesIsCut(t *testing.T) {
	t.Parallel()
	var page ingest.Page[ingest.File]
	for id := int64(1); id <= 1000; id++ {
		page.Items = append(page.Items, ingest.File{ID: id, RemotePath: strings.Repeat("\x01", 4096)})
	}
	page.Next = 1000
	cut := cutPage(page)
	require.Less(t, len(cut.Items), 1000)
	require.Equal(t, cut.Items[len(cut.Items)-1].ID, cut.Next)
	shown := 0
	for _, file := range cut.Items {
		shown += len(ingest.DisplayPath(file.RemotePath))
	}
	require.LessOrEqual(t, shown, maxPageBytes)
	short := ingest.Page[ingest.File]{Items: page.Items[:10]}
	require.Equal(t, short, cutPage(short))
	require.Len(t, cutPage(ingest.Page[ingest.File]{Items: []ingest.File{{RemotePath: strings.Repeat("\x01", 5<<20)}}}).Items, 1, "a page moves on")
}
