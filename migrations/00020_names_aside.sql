-- What servers show and nobody takes: names of files in progress, and done-markers
-- and checksum files without a file. One row as long as it is there, bounded for each
-- server, so that people see what waits and since when.

-- +goose Up
CREATE TABLE names_aside (
    server_uuid   uuid NOT NULL REFERENCES sftp_servers (server_uuid) ON DELETE CASCADE,
    path_raw      bytea NOT NULL,
    -- For people: one harmless line.
    path          text NOT NULL,
    reason        text NOT NULL,
    size_bytes    bigint NOT NULL,
    mtime         timestamptz NOT NULL,
    -- Since when it is there unchanged, and when it was last listed.
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at  timestamptz NOT NULL DEFAULT now(),
    -- When a companion was last looked after.
    tried_at      timestamptz,
    -- A digest stands for the path: an index entry has little room.
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
