-- One row per version of a remote file: server, path, size and mtime.

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
    -- Raw path of the file's checksum file.
    sidecar_raw        bytea,
    status             text NOT NULL DEFAULT 'discovered',
    -- Settling: when this size and mtime were first and last seen.
    stable_since       timestamptz NOT NULL DEFAULT now(),
    last_seen_at       timestamptz NOT NULL DEFAULT now(),
    -- The condition that a settling file waits for, for display; null: only time.
    waits_for          text,
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
    minio_bucket       text,
    minio_object_key   text,
    minio_etag         text,
    -- The store's own checksum of the object.
    object_checksum    text,
    error_step         text,
    error_kind         text,
    error_message      text,
    completed_at       timestamptz,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT files_version UNIQUE (server_uuid, remote_path_sha256, size_bytes, mtime),
    CONSTRAINT files_size CHECK (size_bytes >= 0),
    CONSTRAINT files_status CHECK (status IN (
        'discovered', 'ready', 'downloading', 'downloaded', 'verified', 'uploading', 'uploaded', 'completed',
        'error', 'skipped', 'vanished', 'superseded', 'rejected')),
    CONSTRAINT files_transfer_mode CHECK (transfer_mode IN ('memory', 'staged', 'direct')),
    CONSTRAINT files_counters CHECK (least(fence, round, deferrals) >= 0),
    CONSTRAINT files_completed_at CHECK (completed_at IS NULL OR status = 'completed')
    -- Free space in each page, so that updates of unindexed columns touch no index.
) WITH (fillfactor = 85);

-- A path settles as one version at a time, and is rejected once, not once per listing.
CREATE UNIQUE INDEX files_settling_path ON files (server_uuid, remote_path_sha256) WHERE status = 'discovered';
CREATE UNIQUE INDEX files_rejected_path ON files (server_uuid, remote_path_sha256) WHERE status = 'rejected';
-- No two files share an object. Audits compare the rows with the bucket's listing,
-- which is in byte order.
CREATE UNIQUE INDEX files_object_key ON files (minio_object_key COLLATE "C") WHERE minio_object_key IS NOT NULL;
-- Lists by status and by server, paged by id.
CREATE INDEX files_by_status ON files (status, id);
CREATE INDEX files_by_server ON files (server_uuid, id);
CREATE INDEX files_by_server_status ON files (server_uuid, status, id);
CREATE INDEX files_by_hash ON files (file_hash, id) WHERE file_hash IS NOT NULL;
-- A server's queue of ready files.
CREATE INDEX files_turn ON files (server_uuid, coalesce(not_before, created_at), id) WHERE status = 'ready';
-- Reconciliation pages through the files in flight or failed, and the recently completed ones.
CREATE INDEX files_unfinished ON files (id)
    WHERE status IN ('downloading', 'downloaded', 'verified', 'uploading', 'uploaded', 'error');
CREATE INDEX files_by_completion ON files (completed_at, id) WHERE status = 'completed';

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

-- +goose Down
DROP TABLE files;
DROP FUNCTION check_file_statuses();
