package worker

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"stevedore/internal/config"
)

// TestFault78_FewFileDescriptors: a worker that may open few files does less at once
// and says so, instead of failing files.
func TestFault78_FewFileDescriptors(t *testing.T) {
	t.Parallel()
	asked := config.Worker{MaxDownloads: 8, MaxUploads: 4}
	for limit, want := range map[uint64]config.Worker{
		1024: asked,
		264:  asked,
		200:  {MaxDownloads: 3, MaxUploads: 4},
		16:   {MaxDownloads: 1, MaxUploads: 1},
	} {
		var said bytes.Buffer
		got := fitDescriptors(t.Context(), asked, limit, slog.New(slog.NewTextHandler(&said, nil)))
		require.Equal(t, want, got, limit)
		require.Equal(t, want != asked, bytes.Contains(said.Bytes(), []byte("too few file descriptors")), limit)
	}
	require.Positive(t, descriptors())
}
