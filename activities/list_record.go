package activities

import (
	"context"

	"stevedore/internal/ingest"
)

// recorder streams the entries of a listing into the ledger.
type recorder struct {
	*Activities
	*listing
	server   ingest.Server
	source   string
	watchdog *watchdog
	tracker  *positionTracker
	stats    *timeStats

	batch []ingest.Observation
	// ignored are the ignored entries to be recorded.
	ignored []ingest.Observation
	// recordErr is a failure to record, as opposed to a failure of the server.
	recordErr error
}

// run lists the server. try: the listing runs within a workflow task.
func (r *recorder) run(ctx context.Context, source Source, try bool) error {
	before := r.tracker.from
	request := r.tracker.request()
	request.Brief = try
	request.Omitted = r.stats.Unmatched.Add
	request.Entered = func(folder string, unread, doubtful ingest.Unread) {
		r.unread = before.Unread
		r.unread.Join(unread)
		r.tracker.entered(folder, r.counted(doubtful), len(r.batch)+len(r.ignored) == 0)
	}
	unread, err := source.List(ctx, request, func(seen ingest.Observation) error { return r.add(ctx, seen) })
	r.unread = before.Unread
	r.unread.Join(unread)
	if r.recordErr == nil {
		// Entries seen before a failure are recorded, so that they need not be read again.
		if flushErr := r.flush(ctx); err == nil {
			err = flushErr
		}
	}
	cause := context.Cause(ctx)
	ours := r.recordErr != nil || cause != nil && !isStalled(cause)
	if ours {
		r.tracker.uncountTry()
	}
	if err != nil && r.tracker.now.Tries > 0 {
		r.watchdog.heartbeatNow()
		if !ours && ingest.IsKind(err, ingest.KindTransient) {
			r.lostAt = r.watchdog.position.Load()
		}
	}
	return err
}

// complete reports whether the listing showed all entries: it did not resume an earlier
// attempt and could read every folder.
func (r *recorder) complete() bool {
	return r.tracker.from.Tries == 0 && len(r.tracker.from.Folder) == 0 && r.unread.Count == 0
}

// counted returns the counts before the folder being entered. They are published once
// the entries are recorded.
func (r *recorder) counted(doubtful ingest.Unread) position {
	return position{
		Seen: r.Seen + int64(len(r.batch)), New: r.New, Rejected: r.Rejected, InProgress: r.inProgress, Alone: r.alone,
		Same: r.stats.Same, NoTime: r.stats.NoTime, Future: r.stats.Future, Unread: r.unread, Doubtful: doubtful,
	}
}

func (r *recorder) add(ctx context.Context, seen ingest.Observation) error {
	switch {
	case seen.Ignored == "":
		r.stats.add(seen)
		seen.Unrecorded = seen.Rejected != "" && r.Rejected >= ingest.MaxNewRejected
		r.batch = append(r.batch, seen)
	case r.ignore(seen):
		r.ignored = append(r.ignored, seen)
	}
	if len(r.batch)+len(r.ignored) < observeBatch {
		return nil
	}
	return r.flush(ctx)
}

// flush records the entries seen since the last flush.
func (r *recorder) flush(ctx context.Context) error {
	if len(r.ignored) > 0 {
		if r.recordErr = r.Catalog.RecordIgnored(ctx, r.server.UUID, r.key, r.ignored); r.recordErr != nil {
			return r.recordErr
		}
		r.ignored = r.ignored[:0]
	}
	if len(r.batch) > 0 {
		counts, err := r.Catalog.Observe(ctx, r.server.UUID, r.source, r.batch)
		if r.recordErr = err; err != nil {
			return err
		}
		r.Seen, r.New, r.Rejected = r.Seen+int64(len(r.batch)), r.New+counts.New, r.Rejected+counts.Rejected
		r.stats.Same += counts.Same
		r.batch = r.batch[:0]
		r.watchdog.report(r.Seen)
	}
	if now := &r.tracker.now; now.Tries > 0 {
		now.New, now.Rejected = r.New, r.Rejected
		r.tracker.publish()
	}
	return nil
}
