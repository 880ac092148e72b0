package store

import (
	"time"

	"stevedore/internal/ingest"
)

const observationColumns = `coalesce(f.shown_size, 0), f.shown_mtime, f.changes, f.clock_changes, f.unsettled_since, coalesce(f.hold, ''), 
	coalesce((SELECT k.file_hash FROM files k WHERE k.id = f.known_id), ''), coalesce(s.options->>'identity', ''),
	coalesce(f.time_shift, 0), coalesce((SELECT m.remote_path FROM files m WHERE m.id = f.moved_from AND f.hold IN ('unjudged', 'held')), ''), f.source_gone_at, CASE WHEN f.resent_count > 1 THEN f.resent_at END, f.delivery`

// observationRow is the part of fileColumns that scans into ingest.SourceState.
type observationRow struct {
	sight                          ingest.SourceState
	shift                          int64
	shown, unsettled, gone, resent *time.Time
}

// targets returns the scan targets in column order.
func (r *observationRow) targets() []any {
	v := &r.sight
	return []any{
		&v.ShownSize, &r.shown, &v.Changes, &v.ClockChanges, &r.unsettled, &v.Hold, &v.KnownHash, &v.Identity,
		&r.shift, &v.MovedFrom, &r.gone, &r.resent, &v.Delivery,
	}
}

// read converts the row to a SourceState.
func (r *observationRow) read() ingest.SourceState {
	v := r.sight
	v.ShownTime, v.UnsettledSince, v.SourceGoneAt, v.ResentAt = utc(r.shown), utc(r.unsettled), utc(r.gone), utc(r.resent)
	v.TimeShift = time.Duration(r.shift) * time.Second
	return v
}
