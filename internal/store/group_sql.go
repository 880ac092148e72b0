package store

// The statements of a group commit. Each takes lists with one element per file or event.

// Groups skip rows locked by other transactions, so that they never wait and never deadlock.
const lockFiles = `
SELECT id, file_uuid::text, server_uuid::text, status, fence, round FROM files
WHERE file_uuid = ANY ($1::uuid[]) ORDER BY id FOR NO KEY UPDATE`

const lockFreeFiles = lockFiles + ` SKIP LOCKED`

const slotsOfFiles = `
SELECT f.file_uuid::text, x.slot FROM slots x JOIN files f ON f.id = x.file_id WHERE f.file_uuid = ANY ($1::uuid[])`

// Matches a fact in any round.
const recordedFacts = `
SELECT w.uuid::text FROM unnest($1::uuid[], $2::text[], $3::text[]) AS w (uuid, type, key)
WHERE EXISTS (
	SELECT FROM files f JOIN file_events e ON e.file_id = f.id AND e.event_type = w.type AND e.fact_key = w.key
	WHERE f.file_uuid = w.uuid)`

// Null leaves a column unchanged, an empty text clears it.
const updateFiles = `
UPDATE files f SET
	fence = c.fence,
	round = c.round,
	status = coalesce(c.status, f.status),
	hold = CASE WHEN c.status IS NULL THEN f.hold END,
	file_hash = nullif(coalesce(c.hash, f.file_hash), ''),
	hash_algo = nullif(coalesce(c.algo, f.hash_algo), ''),
	minio_bucket = nullif(coalesce(c.bucket, f.minio_bucket), ''),
	minio_object_key = nullif(coalesce(c.key, f.minio_object_key), ''),
	minio_etag = nullif(coalesce(c.etag, f.minio_etag), ''),
	object_checksum = nullif(coalesce(c.checksum, f.object_checksum), ''),
	transfer_mode = nullif(coalesce(c.mode, f.transfer_mode), ''),
	staged_on = nullif(coalesce(c.staged_on, f.staged_on), ''),
	error_step = nullif(coalesce(c.step, f.error_step), ''),
	error_kind = nullif(coalesce(c.kind, f.error_kind), ''),
	error_message = nullif(coalesce(c.message, f.error_message), ''),
	source_gone_at = CASE WHEN c.gone THEN coalesce(f.source_gone_at, now()) ELSE f.source_gone_at END,
	shown_size = CASE WHEN c.shown IS NULL THEN f.shown_size ELSE f.size_bytes END,
	shown_mtime = coalesce(c.shown, f.shown_mtime),
	not_before = CASE
		WHEN c.defer THEN now() + least(power(2, least(f.deferrals, 10)) * ` + firstDeferral + `, ` + longestDeferral + `)
		WHEN c.restarted THEN NULL
		ELSE f.not_before END,
	deferrals = CASE WHEN c.defer THEN f.deferrals + 1 WHEN c.restarted THEN 0 ELSE f.deferrals END,
	sidecar_raw = coalesce(c.sidecar, f.sidecar_raw),
	sidecar_size = coalesce(c.sidecar_size, f.sidecar_size),
	sidecar_mtime = coalesce(c.sidecar_mtime, f.sidecar_mtime),
	sidecar_stale = f.sidecar_stale AND (c.sidecar_mtime IS NULL OR (c.sidecar_size, c.sidecar_mtime) = (f.sidecar_size, f.sidecar_mtime)),
	source_left = nullif(coalesce(c.source_left, f.source_left), ''),
	source_left_at = CASE WHEN c.source_left IS NULL THEN f.source_left_at WHEN c.source_left <> '' THEN now() END,
	completed_at = CASE WHEN c.status = 'completed' THEN coalesce(f.completed_at, now()) ELSE f.completed_at END
FROM unnest(@ids::bigint[], @fences::bigint[], @rounds::int[], @statuses::text[], @hashes::text[], @algos::text[], @buckets::text[],
	@keys::text[], @etags::text[], @checksums::text[], @modes::text[], @hosts::text[], @steps::text[], @kinds::text[], @messages::text[],
	@deferred::bool[], @restarted::bool[], @left::text[], @sidecar_paths::bytea[], @sidecar_sizes::bigint[], @sidecar_mtimes::timestamptz[],
	@gone::bool[], @shown::timestamptz[])
	AS c (id, fence, round, status, hash, algo, bucket, key, etag, checksum, mode, staged_on, step, kind, message, defer, restarted, source_left,
		sidecar, sidecar_size, sidecar_mtime, gone, shown)
WHERE f.id = c.id`

const insertEvents = `
INSERT INTO file_events (file_id, round, event_type, fact_key, details)
SELECT e.file, e.round, e.type, e.key, e.details::jsonb
FROM unnest($1::bigint[], $2::int[], $3::text[], $4::text[], $5::text[]) WITH ORDINALITY AS e (file, round, type, key, details, n)
ORDER BY e.n
ON CONFLICT (file_id, event_type, fact_key, round) DO NOTHING`

// Slot 0 matches any slot of the file.
const freeSlots = `
DELETE FROM slots x USING unnest($1::bigint[], $2::bigint[]) AS c (id, slot)
WHERE x.file_id = c.id AND (c.slot = 0 OR x.slot = c.slot)`

const endTransfers = `DELETE FROM transfers WHERE file_id = ANY ($1::bigint[])`

const filesByID = `SELECT ` + fileColumns + fromFiles + `WHERE f.id = ANY ($1::bigint[])`
