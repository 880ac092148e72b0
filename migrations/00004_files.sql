-- One row per version of a remote file: server, path, size and mtime.

-- +goose Up
CREATE TABLE files (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    file_uuid          uuid NOT NULL DEFAULT gen_random_uuid() UNIQUE,
    server_uuid        uuid NOT NULL REFERENCES sftp_servers (server_uuid) ON DELETE RESTRICT,
    -- remote_path and filename are for people: one harmless line each. The
    -- path itself may be any bytes and is remote_path_raw.
    remote_path        text NOT NULL,
    remote_path_raw    bytea NOT NULL,
    -- Stands for the raw path in indexes: an index entry has room for less
    -- than 2704 bytes, and a partner's path may be longer.
    remote_path_sha256 bytea NOT NULL GENERATED ALWAYS AS (sha256(remote_path_raw)) STORED,
    filename           text NOT NULL,
    size_bytes         bigint NOT NULL,
    mtime              timestamptz NOT NULL,
    status             text NOT NULL DEFAULT 'discovered',
    file_hash          text,
    hash_algo          text,
    error_kind         text,
    error_message      text,
    minio_bucket       text,
    minio_object_key   text,
    minio_etag         text,
    -- Raw path of the checksum file that the server offers for this one.
    sidecar_raw        bytea,
    -- Number of the attempt that owns the file; writers with an older one are refused.
    fence              bigint NOT NULL DEFAULT 0,
    -- How often the file began anew; a fact is recorded once per round.
    round              integer NOT NULL DEFAULT 0,
    -- Settling: when this size and mtime were first and last seen.
    stable_since       timestamptz NOT NULL DEFAULT now(),
    last_seen_at       timestamptz NOT NULL DEFAULT now(),
    completed_at       timestamptz,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT files_version UNIQUE (server_uuid, remote_path_sha256, size_bytes, mtime),
    CONSTRAINT files_size CHECK (size_bytes >= 0),
    CONSTRAINT files_status CHECK (status IN (
        'discovered', 'ready', 'downloading', 'downloaded', 'verified', 'uploading', 'uploaded', 'completed',
        'error', 'skipped', 'vanished', 'superseded', 'rejected')),
    CONSTRAINT files_counters CHECK (fence >= 0 AND round >= 0),
    CONSTRAINT files_completed_at CHECK (completed_at IS NULL OR status = 'completed')
    -- Room in each page, so that noting that a file was seen again touches no index.
) WITH (fillfactor = 85);

-- A path settles as one version at a time, and is rejected once, not once per listing.
CREATE UNIQUE INDEX files_settling_path ON files (server_uuid, remote_path_sha256) WHERE status = 'discovered';
CREATE UNIQUE INDEX files_rejected_path ON files (server_uuid, remote_path_sha256) WHERE status = 'rejected';
-- No two files share an object.
CREATE UNIQUE INDEX files_object_key ON files (minio_object_key) WHERE minio_object_key IS NOT NULL;
-- Lists by status, by server, and a server's queue of ready files; all paged by id.
CREATE INDEX files_by_status ON files (status, id);
CREATE INDEX files_by_server ON files (server_uuid, id);
CREATE INDEX files_by_server_status ON files (server_uuid, status, id);

CREATE TRIGGER files_times BEFORE UPDATE ON files
    FOR EACH ROW EXECUTE FUNCTION set_row_times();

-- +goose StatementBegin
CREATE FUNCTION check_file_status() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM file_status_transitions WHERE from_status = OLD.status AND to_status = NEW.status) THEN
        RAISE EXCEPTION 'file % cannot go from % to %', OLD.file_uuid, OLD.status, NEW.status
            USING ERRCODE = 'check_violation', CONSTRAINT = 'files_status_transition', TABLE = TG_TABLE_NAME,
                  HINT = 'the allowed changes are in file_status_transitions';
    END IF;
    RETURN NEW;
END
$$;
-- +goose StatementEnd

CREATE TRIGGER files_status_transition BEFORE UPDATE OF status ON files
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status)
    EXECUTE FUNCTION check_file_status();

-- +goose Down
DROP TABLE files;
DROP FUNCTION check_file_status();
