package store

// The statements that execute a plan, with entryArgs, source and stat. Each checks the status
// again, so that a file changed by an operator meanwhile is not touched; the next listing
// handles its new state. Times are those of the statement, because the transaction may have
// waited for another listing.

const observedRows = `
FROM unnest(@ids::bigint[], @sizes::bigint[], @mtimes::timestamptz[], @uuids::uuid[], @waits::text[], ` + companionArgs + `,
	@changes::int[], @clocks::int[], @sinces::timestamptz[], @known_ids::bigint[], @shifts::bigint[], @holds::text[], @moved_from::bigint[], @failed_reads::int[],
	@stat_first::bool[], @failures::text[])
	AS o (id, size, mtime, uuid, waits, ` + companionFields + `, changes, clocks, since, known_id, shift, hold, moved_from, failed_reads, stat_first, failure)
WHERE f.id = o.id AND `

const (
	companionArgs = `@sidecar_paths::bytea[], @sidecar_sizes::bigint[], @sidecar_mtimes::timestamptz[], @sidecar_stale::bool[],
	@marker_paths::bytea[], @marker_sizes::bigint[], @marker_mtimes::timestamptz[], @marker_stale::bool[]`
	companionFields = `sidecar_raw, sidecar_size, sidecar_mtime, sidecar_stale, marker_raw, marker_size, marker_mtime, marker_stale`
	setCompanions   = `sidecar_raw = o.sidecar_raw, sidecar_size = o.sidecar_size, sidecar_mtime = o.sidecar_mtime, sidecar_stale = o.sidecar_stale,
		marker_raw = o.marker_raw, marker_size = o.marker_size, marker_mtime = o.marker_mtime, marker_stale = o.marker_stale`
)

// unsettledRows are the settling rows, including those given up as unsettled.
const unsettledRows = `(f.status = 'discovered' OR f.status = 'error' AND f.error_kind = 'unsettled')`

const supersedeRows = `
WITH superseded AS (
	UPDATE files f SET status = 'superseded', hold = NULL` + observedRows + `f.status = 'discovered'
	RETURNING f.id, f.round
)
INSERT INTO file_events (file_id, round, event_type, details)
SELECT id, round, 'superseded', jsonb_build_object('step', 'discover') FROM superseded
ON CONFLICT DO NOTHING`

// A file unchanged for longer than the precision of times resets its counters. stable_since is
// bounded by the current time, so that a clock set back does not delay the file.
const seenAgainRows = `
UPDATE files f SET last_seen_at = statement_timestamp(), stable_since = least(f.stable_since, statement_timestamp()),
	` + setCompanions + `, waits_for = nullif(o.waits, ''), stat_first = f.stat_first AND NOT @stat::bool,
	changes = CASE WHEN f.stable_since < statement_timestamp() - interval '2 seconds' AND f.status = 'discovered' THEN 0 ELSE f.changes END,
	clock_changes = CASE WHEN f.stable_since < statement_timestamp() - interval '2 seconds' AND f.status = 'discovered' THEN 0 ELSE f.clock_changes END,
	unsettled_since = CASE WHEN f.stable_since < statement_timestamp() - interval '2 seconds' AND f.status = 'discovered' THEN NULL
		ELSE f.unsettled_since END` +
	observedRows + unsettledRows

// @stat reports a STAT: the listing showed the file unchanged.
const resettleRows = `
WITH changed AS (
	UPDATE files f SET file_uuid = o.uuid, size_bytes = o.size, mtime = o.mtime, ` + setCompanions + `,
		waits_for = nullif(o.waits, ''), changes = o.changes, clock_changes = o.clocks, unsettled_since = o.since,
		known_id = o.known_id, time_shift = o.shift, hold = nullif(o.hold, ''), moved_from = o.moved_from, stat_first = f.stat_first AND NOT @stat::bool,
		shown_size = CASE WHEN @stat THEN coalesce(f.shown_size, f.size_bytes) END,
		shown_mtime = CASE WHEN @stat THEN coalesce(f.shown_mtime, f.mtime) END,
		stable_since = statement_timestamp(), last_seen_at = statement_timestamp(),
		status = CASE WHEN o.failure = '' THEN f.status ELSE 'error' END,
		error_step = CASE WHEN o.failure = '' THEN NULL ELSE 'discover' END,
		error_kind = CASE WHEN o.failure = '' THEN NULL ELSE 'unsettled' END,
		error_message = nullif(o.failure, '')` +
	observedRows + unsettledRows + `
	RETURNING f.id, f.round, o.failure
)
INSERT INTO file_events (file_id, round, event_type, fact_key, details)
SELECT id, round, 'error', 'discover', jsonb_build_object('step', 'discover', 'kind', 'unsettled', 'message', failure) FROM changed WHERE failure <> ''
ON CONFLICT DO NOTHING`

// The assignments of a new round. The raised fence rejects an attempt of the old round.
const newRound = `round = f.round + 1, fence = f.fence + 1, ` + setCompanions + `, waits_for = nullif(o.waits, ''),
		stable_since = statement_timestamp(), last_seen_at = statement_timestamp(), changes = 0, clock_changes = 0, unsettled_since = NULL,
		known_id = o.known_id, time_shift = o.shift, hold = nullif(o.hold, ''), moved_from = o.moved_from, failed_reads = o.failed_reads, stat_first = o.stat_first,
		file_hash = NULL, hash_algo = NULL, not_before = NULL, deferrals = 0`

// A version that reappears starts a new round, so that its events can be recorded again. Its
// row may have held the same content under another time.
const reopenRows = `
WITH reopened AS (
	UPDATE files f SET status = 'discovered', file_uuid = o.uuid, size_bytes = o.size, mtime = o.mtime, ` + newRound + `,
		minio_bucket = CASE WHEN f.file_uuid = o.uuid THEN f.minio_bucket END,
		minio_object_key = CASE WHEN f.file_uuid = o.uuid THEN f.minio_object_key END,
		minio_etag = CASE WHEN f.file_uuid = o.uuid THEN f.minio_etag END,
		object_checksum = CASE WHEN f.file_uuid = o.uuid THEN f.object_checksum END,
		error_step = NULL, error_kind = NULL, error_message = NULL` +
	observedRows + `f.status IN ('vanished', 'superseded')
	RETURNING f.id, f.round, f.remote_path
)
INSERT INTO file_events (file_id, round, event_type, details)
SELECT id, round, 'discovered', jsonb_build_object('path', remote_path, 'source', @source::text) FROM reopened`

// A path that changed too often keeps its latest row for all its versions, instead of one row
// for each time.
const failAgainRows = `
WITH reopened AS (
	UPDATE files f SET status = 'error', file_uuid = o.uuid, size_bytes = o.size, mtime = o.mtime, ` + newRound + `,
		minio_bucket = NULL, minio_object_key = NULL, minio_etag = NULL, object_checksum = NULL,
		error_step = 'discover', error_kind = 'unsettled', error_message = o.failure` +
	observedRows + `f.status IN ('vanished', 'superseded')
	RETURNING f.id, f.round, f.remote_path, o.failure
), seen AS (
	INSERT INTO file_events (file_id, round, event_type, details)
	SELECT id, round, 'discovered', jsonb_build_object('path', remote_path, 'source', @source::text) FROM reopened
)
INSERT INTO file_events (file_id, round, event_type, fact_key, details)
SELECT id, round, 'error', 'discover', jsonb_build_object('step', 'discover', 'kind', 'unsettled', 'message', failure) FROM reopened`

const setShownRows = `
UPDATE files f SET shown_size = CASE WHEN o.mtime > '0002-01-01' THEN o.size END,
	shown_mtime = CASE WHEN o.mtime > '0002-01-01' THEN o.mtime END` +
	observedRows + `true`

const markResentRows = `
UPDATE files f SET resent_count = f.resent_count + 1, resent_at = statement_timestamp()` +
	observedRows + `f.status = 'completed'`

// A further delivery replaces the previous one, whose source is gone.
const redeliveredRows = `UPDATE files SET resent_count = 0, resent_at = NULL WHERE id = ANY ($1::bigint[])`

// Ids follow the order of the listing. A row inserted concurrently counts as known.
const insertRows = `
WITH o AS (
	SELECT * FROM unnest(@paths::bytea[], @displays::text[], @filenames::text[], @sizes::bigint[], @mtimes::timestamptz[], @reasons::text[],
		@uuids::uuid[], @waits::text[], ` + companionArgs + `, @known_ids::bigint[], @shifts::bigint[], @holds::text[], @moved_from::bigint[], @failed_reads::int[], @deliveries::int[])
		WITH ORDINALITY AS o (path, display, filename, size, mtime, reason, uuid, waits, ` + companionFields + `, known_id, shift, hold, moved_from, failed_reads, delivery, n)
), fresh AS (
	INSERT INTO files (file_uuid, server_uuid, remote_path, remote_path_raw, filename, size_bytes, mtime, waits_for, status,
		error_step, error_kind, error_message, stable_since, last_seen_at, ` + companionFields + `, known_id, time_shift, hold, moved_from, failed_reads, delivery)
	SELECT uuid, @server, display, path, filename, size, mtime, nullif(waits, ''),
		CASE WHEN reason = '' THEN 'discovered' ELSE 'rejected' END,
		CASE WHEN reason <> '' THEN 'discover' END, CASE WHEN reason <> '' THEN 'unsafe_name' END, CASE WHEN reason <> '' THEN 'it ' || reason END, statement_timestamp(), statement_timestamp(),
		` + companionFields + `, known_id, shift, nullif(hold, ''), moved_from, failed_reads, delivery
	FROM o ORDER BY n
	ON CONFLICT DO NOTHING
	RETURNING id, remote_path_raw, remote_path, status
), recorded AS (
	INSERT INTO file_events (file_id, event_type, details)
	SELECT f.id, f.status, CASE f.status
		WHEN 'rejected' THEN jsonb_build_object('reason', o.reason)
		ELSE jsonb_build_object('path', f.remote_path, 'source', @source::text) END
	FROM fresh f JOIN o ON o.path = f.remote_path_raw
	ORDER BY f.id
)
SELECT count(*) FILTER (WHERE status = 'discovered'), count(*) FILTER (WHERE status = 'rejected') FROM fresh`
