package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

const (
	// Files that are new only by their times are held when more of them than $2 moved
	// by the same. However few they are, they are held when it looks like a clock: at
	// least $5 moved by the same, whole quarters of an hour, and what did so is most of
	// the known files that the listing showed, of which $4 did not move. What moved as
	// files did that are held already joins them. The rest is judged without these: it is
	// held when it is more than $2 and makes up half of what the listing shows ($3).
	judgeChanges = `
WITH unjudged AS (
	SELECT id, time_shift FROM files f WHERE server_uuid = $1 AND hold = 'unjudged' AND ` + notTaken + `
), moved AS (
	SELECT time_shift, count(*) AS files FROM unjudged GROUP BY time_shift
), clock AS (
	SELECT time_shift, sum(files) OVER () * 2 > $4 + (SELECT count(*) FROM unjudged) AS most FROM moved
	WHERE time_shift % 900 = 0 AND time_shift <> 0 AND files >= $5
), mass AS (
	SELECT time_shift FROM moved WHERE files > $2
	UNION SELECT time_shift FROM clock WHERE most
	UNION SELECT time_shift FROM files WHERE server_uuid = $1 AND hold = 'held'
)
UPDATE files f SET hold = CASE
	WHEN $2 >= 0 AND (f.time_shift IN (SELECT time_shift FROM mass) OR rest.files > $2 AND rest.files * 2 >= $3) THEN 'held'
	ELSE 'free' END
FROM unjudged u, (SELECT count(*) AS files FROM unjudged WHERE time_shift NOT IN (SELECT time_shift FROM mass)) rest
WHERE f.id = u.id AND f.hold = 'unjudged'`

	// What a whole listing, which took $2, has not shown is not there any more.
	forgetResent = `
UPDATE files SET resent_looks = 0, resent_at = NULL
WHERE server_uuid = $1 AND resent_looks > 0 AND resent_at < statement_timestamp() - $2::interval - interval '2 seconds'`

	oddSights = `
SELECT statement_timestamp(),
	(SELECT count(*) FROM files WHERE server_uuid = $1 AND status = 'discovered' AND clock_looks >= $2),
	(SELECT count(*) FROM files WHERE server_uuid = $1 AND status = 'error' AND error_kind = 'unsettled'),
	(SELECT count(*) FROM files WHERE server_uuid = $1 AND shown_mtime IS NOT NULL)`
)

// Judge decides, at the end of a listing and before anything of it is promoted,
// which of the files that are new only by their times are held for an operator. It
// returns what the listing noticed, one line, empty when nothing.
func (s *Store) Judge(ctx context.Context, server ingest.Server, l ingest.Listed) (note string, err error) {
	id, err := validUUID("server with uuid", server.UUID)
	if err != nil {
		return "", err
	}
	limit := server.HoldChanges
	if limit == 0 {
		limit = ingest.DefaultHoldChanges
	}
	var now time.Time
	var moving, unsettled, shown int64
	err = s.inTx(ctx, "judge what looks new", func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, judgeChanges, id, limit, l.Seen, l.Same, ingest.FewMoved); err != nil {
			return err
		}
		if l.Whole {
			if _, err := tx.Exec(ctx, forgetResent, id, l.Took); err != nil {
				return err
			}
		}
		return tx.QueryRow(ctx, oddSights, id, ingest.ClockLooks).Scan(&now, &moving, &unsettled, &shown)
	})
	if err != nil {
		return "", err
	}
	attention, err := s.Attention(ctx, id)
	if err != nil {
		return "", err
	}
	return strings.Join(sightNotes(server, l, attention[id], now, moving, unsettled, shown), "; "), nil
}

// sightNotes says what a listing noticed.
func sightNotes(server ingest.Server, l ingest.Listed, a ingest.Attention, now time.Time, moving, unsettled, shown int64) (notes []string) {
	add := func(n int64, note string) {
		if n > 0 {
			notes = append(notes, note)
		}
	}
	files := func(one, several, rest string, n int64) { add(n, ingest.Counted(n, one, several)+rest) }
	if ahead := server.LastScanAt.Sub(now); ahead > time.Second {
		add(1, fmt.Sprintf("the database's clock went back: the scan before began %s from now", ahead.Round(time.Second)))
	}
	add(a.Held.Files, a.Held.String())
	files("file is", "files are", " on the server again, the same as before, after being taken and deleted or moved", a.Resent)
	files("file shows the present moment as its time", "files show the present moment as their time", " at each look", moving)
	files("file never settles", "files never settle", "", unsettled)
	files("file is listed", "files are listed", " with another size or time than a look shows, which is what counts", shown)
	add(l.NoTime, fmt.Sprintf("%d of %d entries have no modification time: replacements of the same size cannot be noticed", l.NoTime, l.Seen))
	add(l.Unmatched.Count, l.Unmatched.Note(l.Seen))
	files("file has a modification time", "files have modification times", " in the future", l.Future)
	return notes
}

const attentionOf = `
SELECT server_uuid, count(*) FILTER (WHERE hold = 'held'), coalesce(min(created_at) FILTER (WHERE hold = 'held'), 'epoch'),
	coalesce(min(remote_path) FILTER (WHERE hold = 'held'), ''), count(*) FILTER (WHERE resent_looks > 1)
FROM (
	SELECT server_uuid, hold, created_at, remote_path, 0 AS resent_looks FROM files
	WHERE hold IN ('unjudged', 'held') AND (cardinality($1::text[]) = 0 OR server_uuid = ANY ($1::text[]::uuid[]))
	UNION ALL
	SELECT server_uuid, NULL, NULL, NULL, resent_looks FROM files
	WHERE resent_looks > 0 AND (cardinality($1::text[]) = 0 OR server_uuid = ANY ($1::text[]::uuid[]))
) f GROUP BY server_uuid`

const latestNotes = `
SELECT s.server_uuid, c.note FROM sftp_servers s CROSS JOIN LATERAL (
	SELECT note FROM scans c WHERE c.server_uuid = s.server_uuid AND c.finished_at IS NOT NULL AND c.error IS NULL ORDER BY c.id DESC LIMIT 1
) c WHERE c.note IS NOT NULL AND (cardinality($1::text[]) = 0 OR s.server_uuid = ANY ($1::text[]::uuid[]))`

// Attention returns what of the servers waits for a person, by uuid; none means
// all servers. Absent means nothing.
func (s *Store) Attention(ctx context.Context, serverUUIDs ...string) (all map[string]ingest.Attention, err error) {
	err = s.retry(ctx, "see what waits for a person", func() error {
		all = make(map[string]ingest.Attention)
		rows, err := s.pool.Query(ctx, attentionOf, nonNil(serverUUIDs))
		if err != nil {
			return err
		}
		var server, note string
		var h ingest.HeldChanges
		var resent int64
		_, err = pgx.ForEachRow(rows, []any{&server, &h.Files, &h.Since, &h.Example, &resent}, func() error {
			h.ServerUUID, h.Since = server, h.Since.UTC()
			all[server] = ingest.Attention{Held: h, Resent: resent}
			return nil
		})
		if err != nil {
			return err
		}
		if err := addParts(ctx, s.pool, all); err != nil {
			return err
		}
		if rows, err = s.pool.Query(ctx, latestNotes, nonNil(serverUUIDs)); err != nil {
			return err
		}
		_, err = pgx.ForEachRow(rows, []any{&server, &note}, func() error {
			a := all[server]
			a.Note = note
			all[server] = a
			return nil
		})
		if err != nil {
			return err
		}
		return s.putOff(ctx, serverUUIDs, all)
	})
	return all, err
}
