-- One row per listing of a server.

-- +goose Up
CREATE TABLE scans (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    server_uuid uuid NOT NULL REFERENCES sftp_servers (server_uuid) ON DELETE RESTRICT,
    -- Identifies the listing, so that a repeated attempt continues in the same row.
    scan_key    text NOT NULL UNIQUE,
    started_at  timestamptz NOT NULL DEFAULT now(),
    -- Null while the listing runs.
    finished_at timestamptz,
    duration    interval GENERATED ALWAYS AS (finished_at - started_at) STORED,
    seen        bigint NOT NULL DEFAULT 0,
    new         bigint NOT NULL DEFAULT 0,
    settling    bigint NOT NULL DEFAULT 0,
    rejected    bigint NOT NULL DEFAULT 0,
    -- Folders that could not be read.
    errors      bigint NOT NULL DEFAULT 0,
    -- One line; null when the listing completed.
    error       text,
    CONSTRAINT scans_key CHECK (scan_key <> ''),
    CONSTRAINT scans_counts CHECK (least(seen, new, settling, rejected, errors) >= 0)
);

CREATE INDEX scans_by_server ON scans (server_uuid, id);

-- +goose Down
DROP TABLE scans;
