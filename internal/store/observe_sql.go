package store

// The statements that carry out a plan. The first four take the same lists,
// of which each uses its part. All check the status again: a file that an
// operator moved in the meantime is left alone, and the next listing sees it
// as it then is. Times are the statement's, not the transaction's, which may
// have waited for another listing.

const observedRows = `
FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[], $4::uuid[], $5::text[], $6::bytea[], $7::bigint[], $8::timestamptz[], $9::bool[],
	$10::bytea[], $11::bigint[], $12::timestamptz[], $13::bool[])
	AS o (id, size, mtime, uuid, waits, ` + companionArgs + `)
WHERE f.id = o.id AND `

const (
	companionArgs   = `sidecar, sidecar_size, sidecar_mtime, sidecar_stale, marker, marker_size, marker_mtime, marker_stale`
	companionFields = `sidecar_raw, sidecar_size, sidecar_mtime, sidecar_stale, marker_raw, marker_size, marker_mtime, marker_stale`
	setCompanions   = `sidecar_raw = nullif(o.sidecar, ''), sidecar_size = o.sidecar_size, sidecar_mtime = o.sidecar_mtime, sidecar_stale = o.sidecar_stale,
		marker_raw = nullif(o.marker, ''), marker_size = o.marker_size, marker_mtime = o.marker_mtime, marker_stale = o.marker_stale`
)

const supersedeRows = `
WITH gone AS (
	UPDATE files f SET status = 'superseded'` + observedRows + `f.status = 'discovered'
	RETURNING f.id, f.round
)
INSERT INTO file_events (file_id, round, event_type, details)
SELECT id, round, 'superseded', jsonb_build_object('step', 'discover') FROM gone
ON CONFLICT DO NOTHING`

const touchRows = `
UPDATE files f SET last_seen_at = statement_timestamp(), ` + setCompanions + `, waits_for = nullif(o.waits, '')` +
	observedRows + `f.status = 'discovered'`

const regrowRows = `
UPDATE files f SET file_uuid = o.uuid, size_bytes = o.size, mtime = o.mtime, ` + setCompanions + `,
	waits_for = nullif(o.waits, ''),
	stable_since = statement_timestamp(), last_seen_at = statement_timestamp()` +
	observedRows + `f.status = 'discovered'`

// A version that is back begins a new round, so that its events can be written
// again, and with a new fence, so that an attempt of the old round stays out.
const reviveRows = `
WITH back AS (
	UPDATE files f SET status = 'discovered', round = f.round + 1, fence = f.fence + 1, ` + setCompanions + `,
		waits_for = nullif(o.waits, ''),
		stable_since = statement_timestamp(), last_seen_at = statement_timestamp(),
		file_hash = NULL, hash_algo = NULL, error_step = NULL, error_kind = NULL, error_message = NULL,
		not_before = NULL, deferrals = 0` +
	observedRows + `f.status IN ('vanished', 'superseded')
	RETURNING f.id, f.round, f.remote_path
)
INSERT INTO file_events (file_id, round, event_type, details)
SELECT id, round, 'discovered', jsonb_build_object('path', remote_path, 'source', $14::text) FROM back`

// Ids follow the order of the listing. A row that somebody else wrote in the
// meantime counts as known.
const insertRows = `
WITH o AS (
	SELECT * FROM unnest($3::bytea[], $4::text[], $5::text[], $6::bigint[], $7::timestamptz[], $8::text[], $9::uuid[], $10::text[],
		$11::bytea[], $12::bigint[], $13::timestamptz[], $14::bool[], $15::bytea[], $16::bigint[], $17::timestamptz[], $18::bool[])
		WITH ORDINALITY AS o (path, display, filename, size, mtime, reason, uuid, waits, ` + companionArgs + `, n)
), fresh AS (
	INSERT INTO files (file_uuid, server_uuid, remote_path, remote_path_raw, filename, size_bytes, mtime, waits_for, status,
		stable_since, last_seen_at, ` + companionFields + `)
	SELECT uuid, $1, display, path, filename, size, mtime, nullif(waits, ''),
		CASE WHEN reason = '' THEN 'discovered' ELSE 'rejected' END, statement_timestamp(), statement_timestamp(),
		nullif(sidecar, ''), sidecar_size, sidecar_mtime, sidecar_stale, nullif(marker, ''), marker_size, marker_mtime, marker_stale
	FROM o ORDER BY n
	ON CONFLICT DO NOTHING
	RETURNING id, remote_path_raw, remote_path, status
), told AS (
	INSERT INTO file_events (file_id, event_type, details)
	SELECT f.id, f.status, CASE f.status
		WHEN 'rejected' THEN jsonb_build_object('reason', o.reason)
		ELSE jsonb_build_object('path', f.remote_path, 'source', $2::text) END
	FROM fresh f JOIN o ON o.path = f.remote_path_raw
	ORDER BY f.id
)
SELECT count(*) FILTER (WHERE status = 'discovered'), count(*) FILTER (WHERE status = 'rejected') FROM fresh`
