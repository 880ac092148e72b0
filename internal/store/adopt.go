package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

// The fence is above any that an attempt may still hold from before the ledger was
// restored: they count from 0 by one.
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

// Adopt gives the ledger back a file that it has forgotten, with the events that
// its row must have. KindMissing or KindConflict: its server is not known or was
// removed, or another row has the version. Once it is there, it is KindConflict.
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
		var row []int64
		rows, err := tx.Query(ctx, adoptFile, id, serverID, ingest.DisplayPath(path), file.Path, ingest.DisplayPath(baseName(path)),
			file.Staged.Size, file.ModTime, nonNil(file.Sidecar), cleanText(file.Host), file.Staged.SHA256)
		if err == nil {
			row, err = pgx.CollectRows(rows, pgx.RowTo[int64])
		}
		if err != nil {
			return err
		}
		if len(row) == 0 {
			return ingest.Errorf(ingest.KindConflict, "the ledger has a row of %s already", ingest.DisplayPath(path))
		}
		_, err = tx.Exec(ctx, adoptEvents, row[0], events.types, events.keys, events.details)
		return err
	})
}
