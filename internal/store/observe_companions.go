package store

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

// versionsLooked bounds the versions of a path that a companion is compared with.
const versionsLooked = 20

// companionsBefore finds which companions were there with other versions of the
// observed paths, and which were found stale with the observed one. A companion that
// was too old for a version is used up by it only if that was taken all the same:
// one that came before its file is older than each state that is half-written, and
// not than a file that gets its old time at the end. $6 are the rows
// that stand for the observed version whatever size and time they have, 0 if none;
// $7 says that what such a row says of its own companions does not count.
const companionsBefore = `
WITH o AS (
	SELECT n, size, mtime, own, anew, sha256(path) AS path
	FROM unnest($2::bytea[], $3::bigint[], $4::timestamptz[], $6::bigint[], $7::bool[]) WITH ORDINALITY AS o (path, size, mtime, own, anew, n)
)
SELECT o.n, f.sidecar_raw, coalesce(f.sidecar_size, 0), f.sidecar_mtime,
	CASE WHEN f.other THEN f.taken OR NOT f.sidecar_stale ELSE f.sidecar_stale AND f.told END,
	f.marker_raw, coalesce(f.marker_size, 0), f.marker_mtime,
	CASE WHEN f.other THEN f.taken OR NOT f.marker_stale ELSE f.marker_stale AND f.told END
FROM o CROSS JOIN LATERAL (
	SELECT v.*, (v.size_bytes, v.mtime) <> (o.size, o.mtime) AND v.id <> o.own AS other, NOT (o.anew AND v.id = o.own) AS told,
		NOT (v.status IN ('discovered', 'vanished') OR v.status = 'superseded' AND v.error_kind IS DISTINCT FROM 'same_content'
			OR v.status = 'error' AND v.error_kind = 'unsettled') AS taken FROM files v
	WHERE v.server_uuid = $1 AND v.remote_path_sha256 = o.path ORDER BY v.id DESC LIMIT $5
) f
WHERE f.sidecar_raw IS NOT NULL OR f.marker_raw IS NOT NULL`

// judgeCompanions finds the companions that belong to an earlier version of their
// file, as the ledger knows it, or are older than the file. A file whose marker
// does not count waits. Where times tell no versions apart, they do not tell how old
// a companion is either. A look at a file that shows it otherwise than the listing did
// makes its companions those of an earlier version; where listings go on to show it as
// before, they always did, and it has not changed.
func (p *plan) judgeCompanions(ctx context.Context, tx pgx.Tx, serverUUID string) error {
	var all []*entry
	var touched int
	for n, list := range [][]entry{p.touch, p.regrow, p.relapse, p.revive, p.insert} {
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
	copied, own, anew := make([]entry, len(all)), make([]int64, len(all)), make([]bool, len(all))
	for i, e := range all {
		if copied[i], anew[i] = *e, e.aliased; i < touched {
			own[i] = e.id
		}
	}
	paths, sizes, mtimes := versionColumns(copied)
	rows, err := tx.Query(ctx, companionsBefore, serverUUID, paths, sizes, mtimes, versionsLooked, own, anew)
	if err != nil {
		return err
	}
	var n int64
	var sidecar, marker companionRow
	var sidecarOld, markerOld *bool
	_, err = pgx.ForEachRow(rows, append(append([]any{&n}, append(sidecar.targets(), &sidecarOld)...), append(marker.targets(), &markerOld)...), func() error {
		e := all[n-1]
		e.sidecarStale = e.sidecarStale || *sidecarOld && onRecord(e.Sidecar, sidecar.read())
		if *markerOld && onRecord(e.Marker, marker.read()) {
			e.markerStale = true
			if e.WaitsFor == "" {
				e.WaitsFor = "a new done-marker " + ingest.DisplayPath(e.Marker.Path) + ": the one there belongs to an earlier version of the file"
			}
		}
		return nil
	})
	return err
}

// onRecord reports whether the companion is the one on record. A server that knows no
// times does not tell.
func onRecord(now, before ingest.Companion) bool {
	return now.Path != "" && now.ModTime.Unix() > 0 && now.SameVersion(before)
}

// companionRow are the columns of a companion as they are read.
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

// companionColumns are companions as the database takes them.
type companionColumns struct {
	paths [][]byte
	sizes []*int64
	times []*time.Time
	stale []bool
}

func (c *companionColumns) add(one ingest.Companion, stale bool) {
	c.paths, c.stale = append(c.paths, []byte(one.Path)), append(c.stale, stale)
	if one.Path == "" {
		c.sizes, c.times = append(c.sizes, nil), append(c.times, nil)
		return
	}
	c.sizes, c.times = append(c.sizes, &one.Size), append(c.times, &one.ModTime)
}

func (c *companionColumns) args() []any { return []any{c.paths, c.sizes, c.times, c.stale} }

// orNull are the paths with null for none.
func (c *companionColumns) orNull() [][]byte {
	paths := slices.Clone(c.paths)
	for i, size := range c.sizes {
		if size == nil {
			paths[i] = nil
		}
	}
	return paths
}
