-- One row per listing of a server.

-- +goose Up
CREATE TABLE scans (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    server_uuid      uuid NOT NULL REFERENCES sftp_servers (server_uuid) ON DELETE RESTRICT,
    -- Identifies the listing, so that a repeated attempt continues in the same row.
    scan_key         text NOT NULL UNIQUE,
    -- schedule or manual; null: unknown.
    source           text,
    -- The principal who requested a manual scan.
    requested_by     text,
    -- Consecutive attempts that left the row open because their worker died.
    died             integer NOT NULL DEFAULT 0,
    started_at       timestamptz NOT NULL DEFAULT now(),
    -- Null while the listing runs.
    finished_at      timestamptz,
    duration         interval GENERATED ALWAYS AS (finished_at - started_at) STORED,
    seen             bigint NOT NULL DEFAULT 0,
    new              bigint NOT NULL DEFAULT 0,
    settling         bigint NOT NULL DEFAULT 0,
    rejected         bigint NOT NULL DEFAULT 0,
    -- Excluded files and skipped folders, with the path of one, escaped for display.
    excluded         bigint NOT NULL DEFAULT 0,
    excluded_example text,
    -- Ignored: names of files in progress, and companions without a file.
    in_progress      bigint NOT NULL DEFAULT 0,
    alone            bigint NOT NULL DEFAULT 0,
    -- The number of folders that could not be read, and some of them:
    -- {"count": n, "folders": [{"path", "reason"}]}.
    errors           bigint NOT NULL DEFAULT 0,
    unread           jsonb NOT NULL DEFAULT '{}',
    -- One line; null when the listing completed.
    error            text,
    -- A one-line note on the listing that is not a failure; null: none.
    note             text,
    CONSTRAINT scans_key CHECK (scan_key <> ''),
    CONSTRAINT scans_counts CHECK (least(seen, new, settling, rejected, errors) >= 0),
    CONSTRAINT scans_excluded CHECK (excluded >= 0),
    CONSTRAINT scans_unread CHECK (jsonb_typeof(unread) = 'object')
);

CREATE INDEX scans_by_server ON scans (server_uuid, id);

-- Entries that are not ingested: names of files in progress, and done-markers and checksum
-- files without a file. One row while it exists, bounded per server, so that operators see what
-- is waiting and since when.
CREATE TABLE ignored_entries (
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
    -- The listing that last showed it: an interrupted listing continues in further attempts,
    -- and only all of them together show which entries are gone.
    listing       text NOT NULL DEFAULT '',
    -- The file that a companion names, if any.
    of_raw        bytea,
    -- The time when a companion was last tried.
    tried_at      timestamptz,
    -- A digest replaces the path: index entries are limited in size.
    path_sha256   bytea NOT NULL GENERATED ALWAYS AS (sha256(path_raw)) STORED,
    PRIMARY KEY (server_uuid, path_sha256),
    CONSTRAINT ignored_entries_reason CHECK (reason IN ('in_progress', 'companion'))
);

-- +goose Down
DROP TABLE ignored_entries;
DROP TABLE scans;
