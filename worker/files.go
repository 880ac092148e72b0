package worker

import (
	"context"
	"log/slog"

	"golang.org/x/sys/unix"

	"stevedore/internal/config"
)

// What a process needs of file descriptors: some for Temporal, the database, the
// broker and logs, and some for each file in flight: a connection to its server, one
// to the object store, the staged file, its lock and a folder that is synced. A
// worker takes three times as many downloads, see activities.TransfersAtOnce.
const (
	baseDescriptors     = 128
	downloadDescriptors = 3 * 5
	uploadDescriptors   = 4
)

// fitDescriptors lowers how much a worker does at once to what its limit of file
// descriptors allows, and says so: files would fail one by one otherwise.
func fitDescriptors(ctx context.Context, w config.Worker, limit uint64, log *slog.Logger) config.Worker {
	asked := w
	room := max(int64(min(limit, 1<<30))-baseDescriptors, 0)
	if int64(w.MaxDownloads*downloadDescriptors+w.MaxUploads*uploadDescriptors) <= room {
		return w
	}
	w.MaxUploads = min(w.MaxUploads, max(1, int(room/4/uploadDescriptors)))
	w.MaxDownloads = min(w.MaxDownloads, max(1, int((room-int64(w.MaxUploads*uploadDescriptors))/downloadDescriptors)))
	log.WarnContext(ctx, "too few file descriptors: the worker does less at once; raise the limit (ulimit -n, LimitNOFILE)", "limit", limit,
		"needed", baseDescriptors+asked.MaxDownloads*downloadDescriptors+asked.MaxUploads*uploadDescriptors,
		"downloads", w.MaxDownloads, "uploads", w.MaxUploads)
	return w
}

// descriptors is the limit of this process.
func descriptors() uint64 {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 1 << 30 // not known: as configured
	}
	return limit.Cur
}
