package services

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// LedgerServers is the number of servers that FillLedger adds: "server-00" and so on.
// The last one only has files from the beginning of the period.
const LedgerServers = 20

// ledgerBatch is the maximum number of files per statement.
const ledgerBatch = 100_000

const fillServers = `
INSERT INTO sftp_servers (name, host, username, last_scan_at)
SELECT 'server-' || lpad(i::text, 2, '0'), 'sftp.example.com', 'u', now() FROM generate_series(0, $1 - 1) i`

// Thirty days of files, most of them completed. Paths hold the day, names the
// number; one in a hundred is an empty file.
const fillFiles = `
INSERT INTO files (server_uuid, remote_path, remote_path_raw, filename, size_bytes, mtime, status, file_hash, hash_algo,
	minio_bucket, minio_object_key, error_kind, error_message, created_at, updated_at, completed_at)
SELECT s.uuids[CASE WHEN i <= $3 / 100 THEN $4::int ELSE 1 + i % ($4::int - 1) END], p.dir || p.name, convert_to(p.dir || p.name, 'UTF8'), p.name, i, date_trunc('second', t.created), t.status,
	CASE WHEN t.status = 'completed' THEN encode(sha256(CASE WHEN i % 100 = 0 THEN '' ELSE i::text END::bytea), 'hex') END,
	CASE WHEN t.status = 'completed' THEN 'sha256' END,
	CASE WHEN t.status = 'completed' THEN 'files' END,
	CASE WHEN t.status = 'completed' THEN 'files/' || to_char(t.created, 'YYYY/MM') || '/' || gen_random_uuid() || '/' || p.name END,
	CASE WHEN t.status = 'error' THEN 'permission' END,
	CASE WHEN t.status = 'error' THEN 'the server denies reading the file' END,
	t.created, t.created, CASE WHEN t.status = 'completed' THEN t.created + interval '2 minutes' END
FROM generate_series($1::bigint, $2::bigint) i
CROSS JOIN LATERAL (SELECT now() - interval '30 days' * (1 - i::float8 / $3) AS created, CASE
	WHEN i % 1000 < 5 THEN 'error' WHEN i % 1000 < 10 THEN 'ready' WHEN i % 1000 < 13 THEN 'discovered'
	WHEN i % 1000 = 13 THEN 'downloading' WHEN i % 1000 = 14 THEN 'uploading' WHEN i % 1000 < 25 THEN 'skipped'
	WHEN i % 1000 < 40 THEN 'vanished' WHEN i % 1000 < 55 THEN 'superseded' WHEN i % 1000 < 60 THEN 'rejected'
	ELSE 'completed' END AS status) t
CROSS JOIN LATERAL (SELECT '/out/' || to_char(t.created, 'YYYY/MM/DD') || '/' AS dir, 'invoice_' || lpad(i::text, 9, '0') || '.csv' AS name) p
CROSS JOIN (SELECT array_agg(server_uuid ORDER BY name) AS uuids FROM sftp_servers) s`

const fillEvents = `
INSERT INTO file_events (file_id, timestamp, event_type, details)
SELECT f.id, f.created_at + e.n * interval '20 seconds',
	CASE WHEN e.n = 6 AND f.status = 'error' THEN 'error' ELSE e.type END, jsonb_build_object('path', f.remote_path)
FROM files f,
	(VALUES (1, 'discovered'), (2, 'settled'), (3, 'download_started'), (4, 'downloaded'), (5, 'minio_uploaded'), (6, 'amqp_notify_sent')) AS e (n, type)
WHERE f.id BETWEEN $1 AND $2 ORDER BY f.id, e.n`

const fillHistory = `
INSERT INTO scans (server_uuid, scan_key, started_at, finished_at, seen)
SELECT s.server_uuid, s.name || i, now() - i * interval '1 minute', now(), i FROM generate_series(1, %[1]d) i, sftp_servers s
WHERE s.name <> 'server-19' OR i = %[1]d;
INSERT INTO audit_log (entry_key, actor, role, action, target) SELECT gen_random_uuid(), 'ann', 'admin', 'server.pause', 'x' FROM generate_series(1, %[2]d);
INSERT INTO reconciliations (run_key, started_at) SELECT 'run-' || i, now() FROM generate_series(1, %[1]d) i;
INSERT INTO api_tokens (name, token_sha256, role, created_by, revoked_at)
SELECT 'token-' || i, sha256(i::text::bytea), 'viewer', 'ann', now() FROM generate_series(1, %[1]d) i`

// FillLedger fills an empty database with files, six events per file, and scans, audit
// entries and so on in proportion. It then updates the statistics of the planner.
func FillLedger(t testing.TB, dsn string, files int) {
	t.Helper()
	ctx := context.Background()
	db, err := pgx.Connect(ctx, dsn)
	require.NoError(t, err)
	defer func() { _ = db.Close(ctx) }()
	exec := func(sql string, args ...any) {
		_, err := db.Exec(ctx, sql, args...)
		require.NoError(t, err)
	}
	exec("SET jit = off")
	exec(fillServers, LedgerServers)
	// Checking the foreign key row by row would take most of the time.
	exec("ALTER TABLE file_events DROP CONSTRAINT file_events_file_id_fkey")
	for first := 1; first <= files; first += ledgerBatch {
		last := min(first+ledgerBatch-1, files)
		exec(fillFiles, first, last, files, LedgerServers)
		exec(fillEvents, first, last)
	}
	exec("ALTER TABLE file_events ADD CONSTRAINT file_events_file_id_fkey FOREIGN KEY (file_id) REFERENCES files (id) ON DELETE RESTRICT")
	exec(fmt.Sprintf(fillHistory, max(100, files/1000), max(100, files/10)))
	exec("VACUUM (ANALYZE) files, file_events, file_names, sftp_servers, scans, audit_log, reconciliations, api_tokens")
}
