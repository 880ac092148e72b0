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
	// decideHolds holds or frees the files that are new only by their time. Files whose times
	// shifted by the same amount are held if they are more than $2. Fewer are held if the shift looks like a
	// clock change: at least $5 files shifted by the same multiple of 15 minutes, and such files
	// outnumber the known files of the listing that did not shift ($4). A file with the shift of a
	// held file is held too. The remaining files are held if there are more than $2 and they make
	// up half of the listing ($3).
	decideHolds = `
WITH unjudged AS (
	SELECT id, time_shift FROM files f WHERE server_uuid = $1 AND hold = 'unjudged' AND moved_from IS NULL AND ` + unsettledRows + `
), moved AS (
	SELECT time_shift, count(*) AS files FROM unjudged GROUP BY time_shift
), clock AS (
	SELECT time_shift, sum(files) OVER () * 2 > $4 + (SELECT count(*) FROM unjudged) AS most FROM moved
	WHERE time_shift % 900 = 0 AND time_shift <> 0 AND files >= $5
), mass AS (
	SELECT time_shift FROM moved WHERE files > $2
	UNION SELECT time_shift FROM clock WHERE most
	UNION SELECT time_shift FROM files WHERE server_uuid = $1 AND hold = 'held' AND moved_from IS NULL
)
UPDATE files f SET hold = CASE
	WHEN $2 >= 0 AND (f.time_shift IN (SELECT time_shift FROM mass) OR rest.files > $2 AND rest.files * 2 >= $3) THEN 'held'
	ELSE 'free' END
FROM unjudged u, (SELECT count(*) AS files FROM unjudged WHERE time_shift NOT IN (SELECT time_shift FROM mass)) rest
WHERE f.id = u.id AND f.hold = 'unjudged'`

	// A complete listing, which lasted $2, did not show these files.
	clearResent = `
UPDATE files SET resent_count = 0, resent_at = NULL
WHERE server_uuid = $1 AND resent_count > 0 AND resent_at < statement_timestamp() - $2::interval - interval '2 seconds'`

	countOddities = `
SELECT statement_timestamp(),
	(SELECT count(*) FROM files WHERE server_uuid = $1 AND status = 'discovered' AND clock_changes >= $2),
	(SELECT count(*) FROM files WHERE server_uuid = $1 AND status = 'error' AND error_kind = 'unsettled'),
	(SELECT count(*) FROM files WHERE server_uuid = $1 AND shown_mtime IS NOT NULL)`
)

// HoldChanges runs at the end of a listing and before Promote. It holds files for an operator that
// are new only by their time. It returns a one-line note on the listing, empty if there is nothing
// to note.
func (s *Store) HoldChanges(ctx context.Context, server ingest.Server, l ingest.Listed) (note string, err error) {
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
	err = s.inTx(ctx, "decide holds", func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, decideHolds, id, limit, l.Seen, l.Same, ingest.MinShifted); err != nil {
			return err
		}
		if l.Whole {
			if _, err := tx.Exec(ctx, clearResent, id, l.Took); err != nil {
				return err
			}
		}
		return tx.QueryRow(ctx, countOddities, id, ingest.ClockChanges).Scan(&now, &moving, &unsettled, &shown)
	})
	if err != nil {
		return "", err
	}
	attention, err := s.Attention(ctx, id)
	if err != nil {
		return "", err
	}
	return strings.Join(listingNotes(server, l, attention[id], now, moving, unsettled, shown), "; "), nil
}

// listingNotes returns the notes on a listing.
func listingNotes(server ingest.Server, l ingest.Listed, a ingest.Attention, now time.Time, moving, unsettled, shown int64) (notes []string) {
	add := func(n int64, note string) {
		if n > 0 {
			notes = append(notes, note)
		}
	}
	files := func(one, several, rest string, n int64) { add(n, ingest.Counted(n, one, several)+rest) }
	if ahead := server.LastScanAt.Sub(now); ahead > time.Second {
		add(1, fmt.Sprintf("the database's clock was set back: the previous scan began %s in the future", ahead.Round(time.Second)))
	}
	add(a.Held.Files, a.Held.String())
	files("file is", "files are", " on the server again, unchanged, after being ingested and deleted or moved", a.Resent)
	files("file shows", "files show", " the current time as modification time in every listing", moving)
	files("file never settles", "files never settle", "", unsettled)
	files("file is listed", "files are listed", " with a size or time that differs from a STAT of the file, which takes precedence", shown)
	add(l.NoTime, fmt.Sprintf("%d of %d entries have no modification time: replacements of the same size cannot be detected", l.NoTime, l.Seen))
	files("file has a modification time", "files have modification times", " in the future", l.Future)
	return notes
}
