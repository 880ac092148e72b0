package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

// maxVersions bounds the versions of a path that a companion is compared with.
const maxVersions = 20

// recordedCompanions finds the companions recorded with other versions of the observed paths, and
// those found stale with the observed version. A companion older than a version is used up by
// it only if that version was ingested: a companion uploaded before its file is older than
// every half-written state, but not older than a file whose original time is restored at the
// end. @own are the rows that hold the observed version regardless of size and time, 0 for none.
// @as_listed ignores the stale flags of those rows.
const recordedCompanions = `
WITH o AS (
	SELECT n, size, mtime, own, as_listed, sha256(path) AS path
	FROM unnest(@paths::bytea[], @sizes::bigint[], @mtimes::timestamptz[], @own::bigint[], @as_listed::bool[]) WITH ORDINALITY AS o (path, size, mtime, own, as_listed, n)
)
SELECT o.n, f.sidecar_raw, coalesce(f.sidecar_size, 0), f.sidecar_mtime,
	CASE WHEN f.other THEN f.ingested OR NOT f.sidecar_stale ELSE f.sidecar_stale AND f.reliable END,
	f.marker_raw, coalesce(f.marker_size, 0), f.marker_mtime,
	CASE WHEN f.other THEN f.ingested OR NOT f.marker_stale ELSE f.marker_stale AND f.reliable END
FROM o CROSS JOIN LATERAL (
	SELECT v.*, (v.size_bytes, v.mtime) <> (o.size, o.mtime) AND v.id <> o.own AS other, NOT (o.as_listed AND v.id = o.own) AS reliable,
		NOT (v.status IN ('discovered', 'vanished') OR v.status = 'superseded' AND v.error_kind IS DISTINCT FROM 'same_content'
			OR v.status = 'error' AND v.error_kind = 'unsettled') AS ingested FROM files v
	WHERE v.server_uuid = @server AND v.remote_path_sha256 = o.path ORDER BY v.id DESC LIMIT @limit
) f
WHERE f.sidecar_raw IS NOT NULL OR f.marker_raw IS NOT NULL`

// markStaleCompanions marks companions that belong to an earlier version of their file or are
// older than the file. A file with a stale marker waits. If times do not distinguish versions,
// they do not indicate the age of a companion either. A STAT that differs from the listing
// marks the companions as belonging to an earlier version; if listings continue to show the
// file as before, it has not changed.
func (p *plan) markStaleCompanions(ctx context.Context, tx pgx.Tx, serverUUID string) error {
	var all []*entry
	var touched int
	for n, list := range [][]entry{p.seenAgain, p.resettle, p.failAgain, p.reopen, p.insert} {
		for i := range list {
			if e := &list[i]; e.Sidecar.Path != "" || e.Marker.Path != "" {
				e.sidecarStale = !p.timeless() && e.Sidecar.OlderThan(e.ModTime)
				e.markerStale = !p.timeless() && e.Marker.OlderThan(e.ModTime)
				all = append(all, e)
			}
		}
		if n == 0 {
			touched = len(all)
		}
	}
	if len(all) == 0 {
		return nil
	}
	own := make([]int64, len(all))
	for i, e := range all[:touched] {
		own[i] = e.id
	}
	args := versionArgs(serverUUID, column(all, func(e *entry) entry { return *e }))
	args["own"], args["as_listed"], args["limit"] = own, column(all, func(e *entry) bool { return e.asListed }), maxVersions
	rows, err := tx.Query(ctx, recordedCompanions, args)
	if err != nil {
		return err
	}
	var n int64
	var sidecar, marker companionRow
	var sidecarOld, markerOld *bool
	_, err = pgx.ForEachRow(rows, append(append([]any{&n}, append(sidecar.targets(), &sidecarOld)...), append(marker.targets(), &markerOld)...), func() error {
		e := all[n-1]
		e.sidecarStale = e.sidecarStale || *sidecarOld && sameCompanion(e.Sidecar, sidecar.read())
		if *markerOld && sameCompanion(e.Marker, marker.read()) {
			e.markerStale = true
			if e.WaitsFor == "" {
				e.WaitsFor = "a new done-marker " + ingest.DisplayPath(e.Marker.Path) + ": the present one belongs to an earlier version of the file"
			}
		}
		return nil
	})
	return err
}

// sameCompanion reports whether both are the same companion. Without a modification time this
// cannot be determined, so the result is false.
func sameCompanion(now, before ingest.Companion) bool {
	return now.Path != "" && now.ModTime.Unix() > 0 && now.SameVersion(before)
}

// companionRow holds the scanned columns of a companion.
type companionRow struct {
	path     []byte
	size     int64
	modified *time.Time
}

func (r *companionRow) targets() []any { return []any{&r.path, &r.size, &r.modified} }

func (r *companionRow) read() ingest.Companion {
	if len(r.path) == 0 {
		return ingest.Companion{}
	}
	return ingest.Companion{Path: string(r.path), Size: r.size, ModTime: utc(r.modified)}
}
