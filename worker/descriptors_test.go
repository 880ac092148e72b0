package worker

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"stevedore/internal/config"
)

// TestFault78_FewFileDescriptors: a worker with a low limit of open files reduces its
// concurrency and logs a warning, instead of failing files.
func TestFault78_FewFileDescriptors(t *testing.T) {
	t.Parallel()
	configured := config.Worker{MaxDownloads: 8, MaxUploads: 4}
	for limit, want := range map[uint64]config.Worker{
		1024: configured,
		264:  configured,
		200:  {MaxDownloads: 3, MaxUploads: 4},
		16:   {MaxDownloads: 1, MaxUploads: 1},
	} {
		var logged bytes.Buffer
		got := fitDescriptors(t.Context(), configured, limit, slog.New(slog.NewTextHandler(&logged, nil)))
		require.Equal(t, want, got, limit)
		require.Equal(t, want != configured, bytes.Contains(logged.Bytes(), []byte("too few file descriptors")), limit)
	}
	require.Positive(t, descriptorLimit())
}
