-- One row per version of a remote file: server, path, size, mtime and delivery.

-- +goose Up
CREATE TABLE files (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    file_uuid          uuid NOT NULL DEFAULT gen_random_uuid() UNIQUE,
    server_uuid        uuid NOT NULL REFERENCES sftp_servers (server_uuid) ON DELETE RESTRICT,
    -- remote_path and filename are display texts of one line each. The path itself may be any
    -- bytes and is stored in remote_path_raw.
    remote_path        text NOT NULL,
    remote_path_raw    bytea NOT NULL,
    -- Replaces the raw path in indexes: an index entry is limited to 2704 bytes, and a path may
    -- be longer.
    remote_path_sha256 bytea NOT NULL GENERATED ALWAYS AS (sha256(remote_path_raw)) STORED,
    filename           text NOT NULL,
    size_bytes         bigint NOT NULL,
    mtime              timestamptz NOT NULL,
    -- The number of the delivery of the same version, for servers whose files are ingested
    -- again after they were deleted or moved.
    delivery           integer NOT NULL DEFAULT 0,
    -- Listings show the version with this size and time where a STAT shows size_bytes and
    -- mtime; null: they agree.
    shown_size         bigint,
    shown_mtime        timestamptz,
    -- Raw path, size and time of the checksum file and of the done-marker. Each belongs to one
    -- version of the file. It is stale when it belongs to an earlier version, unchanged, or is
    -- older than this one.
    sidecar_raw        bytea,
    sidecar_size       bigint,
    sidecar_mtime      timestamptz,
    sidecar_stale      boolean NOT NULL DEFAULT false,
    marker_raw         bytea,
    marker_size        bigint,
    marker_mtime       timestamptz,
    marker_stale       boolean NOT NULL DEFAULT false,
    status             text NOT NULL DEFAULT 'discovered',
    -- Settling: when this size and mtime were first and last seen.
    stable_since       timestamptz NOT NULL DEFAULT now(),
    last_seen_at       timestamptz NOT NULL DEFAULT now(),
    -- The condition that a settling file waits for, for display; null: only time.
    waits_for          text,
    -- Consecutive observations that showed it changed, those among them where only the time
    -- changed with the clock, and the start of the series.
    changes            integer NOT NULL DEFAULT 0,
    clock_changes      integer NOT NULL DEFAULT 0,
    unsettled_since    timestamptz,
    -- Consecutive ingests that failed because the file changed or was missing.
    failed_reads       integer NOT NULL DEFAULT 0,
    -- A STAT is required before the next ingest: the listing was wrong.
    stat_first         boolean NOT NULL DEFAULT false,
    -- The id of the completed version of the same path and size, and the difference of the
    -- times in seconds.
    known_id           bigint,
    time_shift         bigint,
    -- The ingested file, or one in flight, with the same name, size and time at another path,
    -- while or after "hold" was decided by it; null: none.
    moved_from         bigint,
    -- Whether a file with only a new time or path may be ingested: 'unjudged' until the listing
    -- has completed, 'held' for an operator, 'free'; null: not applicable.
    hold               text,
    -- The number of the attempt that claimed the file; writers with an older fence are
    -- rejected.
    fence              bigint NOT NULL DEFAULT 0,
    -- The number of restarts; a fact is recorded once per round.
    round              integer NOT NULL DEFAULT 0,
    -- A ready file is not started before this time.
    not_before         timestamptz,
    -- Consecutive deferrals: each lasts longer than the previous one.
    deferrals          integer NOT NULL DEFAULT 0,
    -- The transfer mode; null until the transfer begins.
    transfer_mode      text,
    -- The staging volume that has, or had, bytes of the file.
    staged_on          text,
    file_hash          text,
    hash_algo          text,
    -- The hash of the published notification: what is ingested again must have it.
    notified_hash      text,
    minio_bucket       text,
    minio_object_key   text,
    minio_etag         text,
    -- The store's own checksum of the object.
    object_checksum    text,
    error_step         text,
    error_kind         text,
    error_message      text,
    completed_at       timestamptz,
    -- The reason why the source still exists although it should have been deleted or moved, and
    -- the time of the last attempt; null: no source remains or none has to be removed.
    source_left        text,
    source_left_at     timestamptz,
    -- The time when the source was deleted or moved after ingest; the number of listings since
    -- that showed the same version, and the time of the last one.
    source_gone_at     timestamptz,
    resent_count       integer NOT NULL DEFAULT 0,
    resent_at          timestamptz,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT files_version UNIQUE (server_uuid, remote_path_sha256, size_bytes, mtime, delivery),
    CONSTRAINT files_size CHECK (size_bytes >= 0),
    CONSTRAINT files_status CHECK (status IN (
        'discovered', 'ready', 'downloading', 'downloaded', 'verified', 'uploading', 'uploaded', 'completed',
        'error', 'skipped', 'vanished', 'superseded', 'rejected')),
    CONSTRAINT files_transfer_mode CHECK (transfer_mode IN ('memory', 'staged', 'direct')),
    CONSTRAINT files_hold CHECK (hold IN ('unjudged', 'held', 'free')),
    CONSTRAINT files_observations CHECK (least(changes, clock_changes, failed_reads, resent_count, delivery) >= 0),
    CONSTRAINT files_shown CHECK ((shown_size IS NULL) = (shown_mtime IS NULL)),
    CONSTRAINT files_counters CHECK (least(fence, round, deferrals) >= 0),
    CONSTRAINT files_completed_at CHECK (completed_at IS NULL OR status = 'completed')
    -- Free space in each page, so that updates of unindexed columns touch no index.
) WITH (fillfactor = 85);

-- A path settles as one version at a time, and is rejected once, not once per listing.
CREATE UNIQUE INDEX files_settling_path ON files (server_uuid, remote_path_sha256) WHERE status = 'discovered';
CREATE UNIQUE INDEX files_rejected_path ON files (server_uuid, remote_path_sha256) WHERE status = 'rejected';
-- A path that never settles has one error row.
CREATE UNIQUE INDEX files_unsettled_path ON files (server_uuid, remote_path_sha256) WHERE status = 'error' AND error_kind = 'unsettled';
-- No two files share an object. Audits compare the rows with the bucket's listing,
-- which is in byte order.
CREATE UNIQUE INDEX files_object_key ON files (minio_object_key COLLATE "C") WHERE minio_object_key IS NOT NULL;
-- Lists by status and by server, paged by id.
CREATE INDEX files_by_status ON files (status, id);
CREATE INDEX files_by_server ON files (server_uuid, id);
CREATE INDEX files_by_server_status ON files (server_uuid, status, id);
CREATE INDEX files_by_hash ON files (file_hash, id) WHERE file_hash IS NOT NULL;
-- A server's queue of ready files. Fresh and deferred files alternate: each kind is found
-- without reading the other.
CREATE INDEX files_fresh ON files (server_uuid, created_at, id) WHERE status = 'ready' AND not_before IS NULL;
CREATE INDEX files_deferred ON files (server_uuid, not_before, id) WHERE status = 'ready' AND not_before IS NOT NULL;
-- Reconciliation pages through the files in flight or failed, and the recently completed ones.
CREATE INDEX files_unfinished ON files (id)
    WHERE status IN ('downloading', 'downloaded', 'verified', 'uploading', 'uploaded', 'error');
CREATE INDEX files_by_completion ON files (completed_at, id) WHERE status = 'completed';
-- Finds the ingested files with a name, size and time. None of the columns changes after
-- completion. The name is hashed because an index entry is limited to 2704 bytes.
CREATE INDEX files_name ON files (server_uuid, hashtextextended(filename, 0), size_bytes, mtime) WHERE status = 'completed';
-- Finds the files of a companion without a file.
CREATE INDEX files_by_sidecar ON files (server_uuid, sha256(sidecar_raw)) WHERE sidecar_raw IS NOT NULL;
CREATE INDEX files_by_marker ON files (server_uuid, sha256(marker_raw)) WHERE marker_raw IS NOT NULL;
-- The few files that operators ask for by these conditions.
CREATE INDEX files_source_left ON files (id) WHERE source_left IS NOT NULL;
CREATE INDEX files_shown ON files (server_uuid, remote_path_sha256) WHERE shown_mtime IS NOT NULL;
CREATE INDEX files_held ON files (server_uuid, id) WHERE hold IN ('unjudged', 'held');
CREATE INDEX files_resent ON files (server_uuid, id) WHERE resent_count > 0;

CREATE TRIGGER files_times BEFORE UPDATE ON files
    FOR EACH ROW EXECUTE FUNCTION set_row_times();

-- Once per statement: a group of changes reads the transitions once. With a hash join, because
-- a listing updates a thousand rows in one statement.
-- +goose StatementBegin
CREATE FUNCTION check_file_statuses() RETURNS trigger LANGUAGE plpgsql SET enable_nestloop = off AS $$
DECLARE
    refused record;
BEGIN
    SELECT n.file_uuid, o.status AS was, n.status INTO refused
    FROM old_files o JOIN new_files n ON n.id = o.id
    WHERE o.status <> n.status AND NOT EXISTS (
        SELECT FROM file_status_transitions t WHERE t.from_status = o.status AND t.to_status = n.status)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'file % cannot go from % to %', refused.file_uuid, refused.was, refused.status
            USING ERRCODE = 'check_violation', CONSTRAINT = 'files_status_transition', TABLE = TG_TABLE_NAME,
                  HINT = 'the allowed changes are in file_status_transitions';
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd

CREATE TRIGGER files_status_transition AFTER UPDATE ON files REFERENCING OLD TABLE AS old_files NEW TABLE AS new_files
    FOR EACH STATEMENT EXECUTE FUNCTION check_file_statuses();

-- Target names on partners' servers during moves: the existence check and the move are two
-- requests, and RENAME overwrites on some servers.
CREATE TABLE move_targets (
    -- The digest of the target, see ingest.Server.MoveTarget.
    target_sha256 bytea PRIMARY KEY,
    -- The file that reserved the name; null between moves.
    file_uuid     uuid REFERENCES files (file_uuid) ON DELETE CASCADE,
    -- The original path of the file last moved there, if another file may not replace it.
    moved_from    bytea,
    changed_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT move_targets_used CHECK (file_uuid IS NOT NULL OR moved_from IS NOT NULL)
);
CREATE INDEX move_targets_file ON move_targets (file_uuid) WHERE file_uuid IS NOT NULL;

-- +goose Down
DROP TABLE move_targets;
DROP TABLE files;
DROP FUNCTION check_file_statuses();
