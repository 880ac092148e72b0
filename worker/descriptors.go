package worker

import (
	"context"
	"log/slog"

	"golang.org/x/sys/unix"

	"stevedore/internal/config"
)

// File descriptors of a worker. The base covers Temporal, PostgreSQL, the broker and
// logs. A file in flight uses up to five: SFTP server, object store, staged file, lock,
// and the folder being synced. The factor 3 comes from activities.TransferTasks.
const (
	baseDescriptors     = 128
	downloadDescriptors = 3 * 5
	uploadDescriptors   = 4
)

// fitDescriptors lowers the worker's concurrency to fit the limit of file descriptors
// and logs a warning. Without it, files would fail one by one with "too many open
// files". Both limits stay at least 1.
func fitDescriptors(ctx context.Context, w config.Worker, limit uint64, log *slog.Logger) config.Worker {
	configured := w
	available := max(int64(min(limit, 1<<30))-baseDescriptors, 0)
	if int64(w.MaxDownloads*downloadDescriptors+w.MaxUploads*uploadDescriptors) <= available {
		return w
	}
	w.MaxUploads = min(w.MaxUploads, max(1, int(available/4/uploadDescriptors)))
	w.MaxDownloads = min(w.MaxDownloads, max(1, int((available-int64(w.MaxUploads*uploadDescriptors))/downloadDescriptors)))
	log.WarnContext(ctx, "too few file descriptors: concurrency is reduced; raise the limit (ulimit -n, LimitNOFILE)", "limit", limit,
		"needed", baseDescriptors+configured.MaxDownloads*downloadDescriptors+configured.MaxUploads*uploadDescriptors,
		"downloads", w.MaxDownloads, "uploads", w.MaxUploads)
	return w
}

// descriptorLimit returns the soft limit of open files of this process.
func descriptorLimit() uint64 {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 1 << 30 // unknown: keep the configured concurrency
	}
	return limit.Cur
}
