-- Entries that are not ingested: names of files in progress, and done-markers and checksum
-- files without a file. One row while it exists, bounded per server, so that operators see what
-- is waiting and since when.

-- +goose Up
CREATE TABLE names_aside (
    server_uuid   uuid NOT NULL REFERENCES sftp_servers (server_uuid) ON DELETE CASCADE,
    path_raw      bytea NOT NULL,
    -- Display text of one line.
    path          text NOT NULL,
    reason        text NOT NULL,
    size_bytes    bigint NOT NULL,
    mtime         timestamptz NOT NULL,
    -- The times since when it is unchanged and when it was last listed.
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at  timestamptz NOT NULL DEFAULT now(),
    -- The time when a companion was last tried.
    tried_at      timestamptz,
    -- A digest replaces the path: index entries are limited in size.
    path_sha256   bytea NOT NULL GENERATED ALWAYS AS (sha256(path_raw)) STORED,
    PRIMARY KEY (server_uuid, path_sha256),
    CONSTRAINT names_aside_reason CHECK (reason IN ('in_progress', 'companion'))
);

ALTER TABLE scans
    ADD COLUMN in_progress bigint NOT NULL DEFAULT 0,
    -- Companions without a file.
    ADD COLUMN alone       bigint NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE scans DROP COLUMN alone, DROP COLUMN in_progress;
DROP TABLE names_aside;
