package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

// The fence exceeds every fence that an attempt from before the restore can hold: those count
// up from 0 by one.
const adoptFile = `
INSERT INTO files (file_uuid, server_uuid, remote_path, remote_path_raw, filename, size_bytes, mtime, sidecar_raw, status,
	transfer_mode, staged_on, file_hash, hash_algo, fence)
VALUES ($1, $2, $3, $4, $5, $6, $7, nullif($8::bytea, ''), 'verified', 'staged', $9, $10, 'sha256', extract(epoch FROM now())::bigint)
ON CONFLICT DO NOTHING
RETURNING id`

const adoptEvents = `
INSERT INTO file_events (file_id, event_type, fact_key, details)
SELECT $1, e.type, e.key, e.details::jsonb FROM unnest($2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS e (type, key, details, n) ORDER BY e.n
ON CONFLICT DO NOTHING`

// Adopt inserts a row, with the events it requires, for a staged file that is missing from the
// ledger. It returns KindMissing or KindConflict if the server is unknown or removed, or if
// another row has the version. A repeated call returns KindConflict.
func (s *Store) Adopt(ctx context.Context, file ingest.Forgotten) error {
	id, err := validUUID("file with uuid", file.FileUUID)
	if err != nil {
		return err
	}
	serverID, err := validUUID("server with uuid", file.ServerUUID)
	if err != nil {
		return err
	}
	return s.inTx(ctx, "adopt a file", func(tx pgx.Tx) error {
		if err := lockServerRow(ctx, tx, serverID); err != nil {
			return err
		}
		var server string
		if err := tx.QueryRow(ctx, "SELECT name FROM sftp_servers WHERE server_uuid = $1", serverID).Scan(&server); err != nil {
			return err
		}
		events, err := newFacts(ingest.Adopted(file, server))
		if err != nil {
			return err
		}
		path := string(file.Path)
		var ids []int64
		rows, err := tx.Query(ctx, adoptFile, id, serverID, ingest.DisplayPath(path), file.Path, ingest.DisplayPath(baseName(path)),
			file.Staged.Size, file.ModTime, nonNil(file.Sidecar), cleanText(file.Host), file.Staged.SHA256)
		if err == nil {
			ids, err = pgx.CollectRows(rows, pgx.RowTo[int64])
		}
		if err != nil {
			return err
		}
		if len(ids) == 0 {
			return ingest.Errorf(ingest.KindConflict, "the ledger already has a row for %s", ingest.DisplayPath(path))
		}
		_, err = tx.Exec(ctx, adoptEvents, ids[0], events.types, events.keys, events.details)
		return err
	})
}
