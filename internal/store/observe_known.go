package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

// settlingRow is the row of a version that is not ingested yet.
type settlingRow struct {
	id                     int64
	size                   int64
	mtime                  time.Time
	changes, clockChanges  int
	failedReads            int
	stableSince, unsettled time.Time
	lastSeen               time.Time
	// lastError is the message of its last error.
	lastError string
}

// known is the state of an observed path in the ledger.
type known struct {
	// version is the row of the observed version and status its status; 0 if none. Of several
	// deliveries it is the last.
	version int64
	status  ingest.Status
	// delivery is the number of that delivery; closed is the kind of error that ended it.
	delivery    int
	closed      ingest.Kind
	lastError   string
	failedReads int
	// gone reports that the source was deleted or moved after ingest, shown that listings show the
	// version differently. back is the number of listings that have shown it again.
	gone, shown bool
	back        int
	// goneForADay reports that the source was deleted or moved more than a day ago.
	goneForADay bool
	// settling is the discovered row of another version of the path, unsettled the error row of a
	// path that never settles; id 0 if none.
	settling, unsettled settlingRow
	// listedRow is the row whose version listings show like the observation; 0 if none.
	listedRow    int64
	listedStatus ingest.Status
	listedGone   bool
	// rejected reports that the path has a rejected row.
	rejected bool
	// past is the history of the path, if the observed version has no live row.
	past past
}

// past is the history of a path.
type past struct {
	// completed is the latest completed row; 0 if none.
	completed int64
	size      int64
	mtime     time.Time
	gone      bool
	// readFrom and readTo bound the time of its ingest, by the database's clock.
	readFrom, readTo time.Time
	// latest and latestSize are the status and size of the latest row.
	latest     ingest.Status
	latestSize int64
	// same is the latest row if it has the same content under another time, otherwise 0.
	same int64
	// last is the latest row if the file changed while it was read, otherwise 0. failedReads counts such
	// attempts in a row, lastError is the message of the last one.
	last        int64
	failedReads int
	lastError   string
}

// The relations between a row and an observation, see selectKnown.
const (
	roleVersion = iota
	roleSettling
	roleRejected
	roleListed
	roleUnsettled
)

const knownColumns = `f.id, f.status, f.size_bytes, f.mtime, f.changes, f.clock_changes, f.stable_since, coalesce(f.unsettled_since, f.stable_since),
	f.last_seen_at, f.delivery, coalesce(f.error_kind, ''), f.failed_reads, f.source_gone_at IS NOT NULL, f.shown_mtime IS NOT NULL, f.resent_count,
	coalesce(f.source_gone_at < statement_timestamp() - interval '1 day', false), coalesce(f.error_message, '')`

const knownOf = ` FROM o JOIN files f ON f.server_uuid = @server AND f.remote_path_sha256 = o.path AND `

// selectKnown returns for each observation: the row of the same version, the settling version
// of the path, its rejection, the version that listings show like the observation, and the row
// of a path that never settles. Each branch is one index probe, however many versions the path
// has.
const selectKnown = `
WITH o AS (
	SELECT n, size, mtime, sha256(path) AS path
	FROM unnest(@paths::bytea[], @sizes::bigint[], @mtimes::timestamptz[]) WITH ORDINALITY AS o (path, size, mtime, n)
)
SELECT o.n, 0, ` + knownColumns + knownOf + `f.size_bytes = o.size AND f.mtime = o.mtime
UNION ALL
SELECT o.n, 1, ` + knownColumns + knownOf + `f.status = 'discovered'
WHERE (f.size_bytes, f.mtime) <> (o.size, o.mtime)
UNION ALL
SELECT o.n, 2, ` + knownColumns + knownOf + `f.status = 'rejected'
WHERE (f.size_bytes, f.mtime) <> (o.size, o.mtime)
UNION ALL
SELECT o.n, 3, ` + knownColumns + knownOf + `f.shown_mtime = o.mtime AND f.shown_size = o.size
	AND f.status <> ALL ('{vanished,superseded,rejected}')
UNION ALL
SELECT o.n, 4, ` + knownColumns + knownOf + `f.status = 'error' AND f.error_kind = 'unsettled'`

// selectHistory returns the history of paths. Ordering by id + 0 keeps the planner from scanning
// all rows in order of id.
const selectHistory = `
WITH o AS (
	SELECT n, sha256(path) AS path FROM unnest(@paths::bytea[]) WITH ORDINALITY AS o (path, n)
)
SELECT o.n, coalesce(t.id, 0), coalesce(t.size_bytes, 0), coalesce(t.mtime, 'epoch'), t.source_gone_at IS NOT NULL,
	coalesce(t.last_seen_at, 'epoch'), coalesce(t.completed_at, 'epoch'), l.status, l.size_bytes,
	CASE WHEN l.status = 'superseded' AND l.error_kind = 'same_content' THEN l.id ELSE 0 END,
	CASE WHEN l.status = 'superseded' AND l.error_kind = 'changed' THEN l.id ELSE 0 END, coalesce(l.failed_reads, 0), coalesce(l.error_message, '')
FROM o
LEFT JOIN LATERAL (
	SELECT f.id, f.size_bytes, f.mtime, f.source_gone_at, f.last_seen_at, f.completed_at FROM files f
	WHERE f.server_uuid = @server AND f.remote_path_sha256 = o.path AND f.status = 'completed' ORDER BY f.id + 0 DESC LIMIT 1
) t ON true
JOIN LATERAL (
	SELECT f.id, f.status, f.size_bytes, f.error_kind, f.error_message, f.failed_reads FROM files f
	WHERE f.server_uuid = @server AND f.remote_path_sha256 = o.path AND f.status <> 'rejected' ORDER BY f.id + 0 DESC LIMIT 1
) l ON true`

func knownRows(ctx context.Context, db querier, serverUUID string, entries []entry) ([]known, error) {
	rows, err := db.Query(ctx, selectKnown, versionArgs(serverUUID, entries))
	if err != nil {
		return nil, err
	}
	found := make([]known, len(entries))
	var n int64
	var role int
	var r settlingRow
	var k known
	_, err = pgx.ForEachRow(rows, []any{
		&n, &role, &r.id, &k.status, &r.size, &r.mtime, &r.changes, &r.clockChanges, &r.stableSince, &r.unsettled,
		&r.lastSeen, &k.delivery, &k.closed, &r.failedReads, &k.gone, &k.shown, &k.back, &k.goneForADay, &r.lastError,
	}, func() error {
		found[n-1].add(role, r, k) // ordinality counts from 1
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found, addHistory(ctx, db, serverUUID, entries, found)
}

// add records a row by its role.
func (k *known) add(role int, r settlingRow, row known) {
	switch role {
	case roleVersion:
		if k.version == 0 || row.delivery >= k.delivery {
			k.version, k.status, k.delivery, k.closed, k.failedReads = r.id, row.status, row.delivery, row.closed, r.failedReads
			k.gone, k.shown, k.back, k.goneForADay, k.lastError = row.gone, row.shown, row.back, row.goneForADay, r.lastError
		}
	case roleSettling:
		k.settling = r
	case roleRejected:
		k.rejected = true
	case roleListed:
		k.listedRow, k.listedStatus, k.listedGone = r.id, row.status, row.gone
	case roleUnsettled:
		k.unsettled = r
	}
}

// addHistory reads the history of paths without a live row of the observed version.
func addHistory(ctx context.Context, db querier, serverUUID string, entries []entry, found []known) error {
	var at []int
	var paths [][]byte
	for i, k := range found {
		dead := k.status == ingest.StatusVanished || k.status == ingest.StatusSuperseded
		if entries[i].Rejected == "" && (k.version == 0 || dead) {
			at, paths = append(at, i), append(paths, []byte(entries[i].Path))
		}
	}
	if len(paths) == 0 {
		return nil
	}
	rows, err := db.Query(ctx, selectHistory, pgx.NamedArgs{"server": serverUUID, "paths": paths})
	if err != nil {
		return err
	}
	var n int64
	var p past
	_, err = pgx.ForEachRow(rows, []any{&n, &p.completed, &p.size, &p.mtime, &p.gone, &p.readFrom, &p.readTo, &p.latest, &p.latestSize, &p.same, &p.last, &p.failedReads, &p.lastError}, func() error {
		found[at[n-1]].past = p
		return nil
	})
	return err
}
