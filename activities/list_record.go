package activities

import (
	"context"

	"stevedore/internal/ingest"
)

// recorder streams what a listing sees into the ledger.
type recorder struct {
	*Activities
	*listing
	server  ingest.Server
	source  string
	motion  *motion
	journey *journey
	watch   *sights

	batch []ingest.Observation
	// aside is what is to be noted as set aside.
	aside []ingest.Observation
	// broken is what went wrong on our side, as opposed to the server's.
	broken error
}

// run lists the server. try says that it is a try within a workflow task.
func (r *recorder) run(ctx context.Context, source Source, try bool) error {
	before := r.journey.from
	request := r.journey.request()
	request.Brief = try
	request.Unmatched = r.watch.Unmatched.Add
	request.Entered = func(folder string, unread, doubtful ingest.Unread) {
		r.unread = before.Unread
		r.unread.Join(unread)
		r.journey.entered(folder, r.counted(doubtful), len(r.batch)+len(r.aside) == 0)
	}
	unread, err := source.List(ctx, request, func(seen ingest.Observation) error { return r.take(ctx, seen) })
	r.unread = before.Unread
	r.unread.Join(unread)
	if r.broken == nil {
		// What was seen before a failure is known all the same, and need not be seen again.
		if flushErr := r.flush(ctx); err == nil {
			err = flushErr
		}
	}
	if cause := context.Cause(ctx); r.broken != nil || cause != nil && !isStalled(cause) {
		r.journey.unblamed()
	}
	if err != nil && r.journey.now.Tries > 0 {
		r.motion.beatNow()
	}
	return err
}

// whole reports whether the listing showed all that is there: it did not go on from
// where another one left off, and could read every folder.
func (r *recorder) whole() bool {
	return r.journey.from.Tries == 0 && len(r.journey.from.Folder) == 0 && r.unread.Count == 0
}

// counted is what is counted before the folder that is entered now, for the next
// attempt. It is told once all of it is on record.
func (r *recorder) counted(doubtful ingest.Unread) place {
	return place{
		Seen: r.Seen + int64(len(r.batch)), New: r.New, Rejected: r.Rejected, InProgress: r.inProgress, Alone: r.alone,
		Same: r.watch.Same, NoTime: r.watch.NoTime, Future: r.watch.Future, Unread: r.unread, Doubtful: doubtful,
	}
}

func (r *recorder) take(ctx context.Context, seen ingest.Observation) error {
	switch {
	case seen.Aside == "":
		r.watch.see(seen)
		seen.Unrecorded = seen.Rejected != "" && r.Rejected >= ingest.MaxNewRejected
		r.batch = append(r.batch, seen)
	case r.setAside(seen):
		r.aside = append(r.aside, seen)
	}
	if len(r.batch)+len(r.aside) < observeBatch {
		return nil
	}
	return r.flush(ctx)
}

// flush writes what was seen since the last time.
func (r *recorder) flush(ctx context.Context) error {
	if len(r.aside) > 0 {
		if r.broken = r.Catalog.NoteAside(ctx, r.server.UUID, r.key, r.aside); r.broken != nil {
			return r.broken
		}
		r.aside = r.aside[:0]
	}
	if len(r.batch) > 0 {
		counts, err := r.Catalog.Observe(ctx, r.server.UUID, r.source, r.batch)
		if r.broken = err; err != nil {
			return err
		}
		r.Seen, r.New, r.Rejected = r.Seen+int64(len(r.batch)), r.New+counts.New, r.Rejected+counts.Rejected
		r.watch.Same += counts.Same
		r.batch = r.batch[:0]
		r.motion.report(r.Seen)
	}
	if now := &r.journey.now; now.Tries > 0 {
		now.New, now.Rejected = r.New, r.Rejected
		r.journey.tell()
	}
	return nil
}
