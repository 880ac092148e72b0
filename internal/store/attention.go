package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

// ofServers restricts a query to the servers in $1; an empty list selects all.
const ofServers = `(cardinality($1::text[]) = 0 OR server_uuid = ANY ($1::text[]::uuid[]))`

const (
	heldAndResent = `
SELECT server_uuid, count(*) FILTER (WHERE hold = 'held'), coalesce(min(created_at) FILTER (WHERE hold = 'held'), 'epoch'),
	coalesce(min(remote_path) FILTER (WHERE hold = 'held'), ''), count(*) FILTER (WHERE resent_count > 1)
FROM (
	SELECT server_uuid, hold, created_at, remote_path, 0 AS resent_count FROM files WHERE hold IN ('unjudged', 'held') AND ` + ofServers + `
	UNION ALL
	SELECT server_uuid, NULL, NULL, NULL, resent_count FROM files WHERE resent_count > 0 AND ` + ofServers + `
) f GROUP BY server_uuid`

	latestNotes = `
SELECT s.server_uuid, c.* FROM sftp_servers s CROSS JOIN LATERAL (
	SELECT seen, rejected, in_progress, alone, excluded, coalesce(excluded_example, ''), coalesce(note, '')
	FROM scans c WHERE c.server_uuid = s.server_uuid AND c.finished_at IS NOT NULL AND c.error IS NULL ORDER BY c.id DESC LIMIT 1
) c WHERE ` + ofServers

	// The index files_deferred serves the counts; only the next file's row is read.
	deferredFiles = `
SELECT d.server_uuid, d.files, f.remote_path, coalesce(f.error_message, ''), f.not_before FROM (
	SELECT server_uuid, count(*) AS files FROM files WHERE status = 'ready' AND not_before IS NOT NULL AND ` + ofServers + `
	GROUP BY server_uuid
) d CROSS JOIN LATERAL (
	SELECT remote_path, error_message, not_before FROM files f
	WHERE f.server_uuid = d.server_uuid AND f.status = 'ready' AND f.not_before IS NOT NULL ORDER BY f.not_before, f.id LIMIT 1
) f`
)

// Attention returns the conditions of the servers that may need an operator, by server
// uuid; no uuids means all servers. Absent means none.
func (s *Store) Attention(ctx context.Context, serverUUIDs ...string) (all map[string]ingest.Attention, err error) {
	err = s.retry(ctx, "read what needs attention", func() error {
		all = make(map[string]ingest.Attention)
		for _, add := range []func(context.Context, querier, []string, map[string]ingest.Attention) error{
			addHeldAndResent, addNotes, addDeferred,
		} {
			if err := add(ctx, s.pool, nonNil(serverUUIDs), all); err != nil {
				return err
			}
		}
		return addHeldParts(ctx, s.pool, all)
	})
	return all, err
}

func addHeldAndResent(ctx context.Context, db querier, servers []string, all map[string]ingest.Attention) error {
	rows, err := db.Query(ctx, heldAndResent, servers)
	if err != nil {
		return err
	}
	var server string
	var held ingest.HeldChanges
	var resent int64
	_, err = pgx.ForEachRow(rows, []any{&server, &held.Files, &held.Since, &held.Example, &resent}, func() error {
		held.ServerUUID, held.Since = server, held.Since.UTC()
		all[server] = ingest.Attention{Held: held, Resent: resent}
		return nil
	})
	return err
}

func addNotes(ctx context.Context, db querier, servers []string, all map[string]ingest.Attention) error {
	rows, err := db.Query(ctx, latestNotes, servers)
	if err != nil {
		return err
	}
	var server string
	var scan ingest.Scan
	targets := []any{&server, &scan.Seen, &scan.Rejected, &scan.InProgress, &scan.Alone, &scan.Excluded.Count, &scan.Excluded.Example, &scan.Note}
	_, err = pgx.ForEachRow(rows, targets, func() error {
		a := all[server]
		a.LastScan = scan
		all[server] = a
		return nil
	})
	return err
}

func addDeferred(ctx context.Context, db querier, servers []string, all map[string]ingest.Attention) error {
	rows, err := db.Query(ctx, deferredFiles, servers)
	if err != nil {
		return err
	}
	var server, path, cause string
	var files int64
	var next time.Time
	_, err = pgx.ForEachRow(rows, []any{&server, &files, &path, &cause, &next}, func() error {
		a := all[server]
		a.Deferred = fmt.Sprintf("%d could not be fetched and are retried, the next after %s: %s: %s",
			files, next.UTC().Format(time.RFC3339), path, cause)
		all[server] = a
		return nil
	})
	return err
}
