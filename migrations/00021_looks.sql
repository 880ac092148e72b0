-- Observations of a file besides its size and time: how often it changed, how listings show it,
-- whether only its time is new, whether it reappeared.

-- +goose Up
ALTER TABLE files
    -- Listings show the version with this size and time where a STAT shows size_bytes and
    -- mtime; null: they agree.
    ADD COLUMN shown_size bigint,
    ADD COLUMN shown_mtime timestamptz,
    -- Consecutive observations that showed it changed, those among them where only the time
    -- changed with the clock, and the start of the series.
    ADD COLUMN looks integer NOT NULL DEFAULT 0,
    ADD COLUMN clock_looks integer NOT NULL DEFAULT 0,
    ADD COLUMN unsettled_since timestamptz,
    -- Consecutive ingests during which the file changed.
    ADD COLUMN tries integer NOT NULL DEFAULT 0,
    -- A STAT is required before the next ingest: the listing was wrong.
    ADD COLUMN look_first boolean NOT NULL DEFAULT false,
    -- The completed version of the same path and size, and the difference of the times in
    -- seconds.
    ADD COLUMN likes_id bigint,
    ADD COLUMN time_shift bigint,
    -- Whether a file with only a new time may be ingested: 'unjudged' until the listing has
    -- completed, 'held' for an operator, 'free'; null: not applicable.
    ADD COLUMN hold text,
    -- The time when the source was deleted or moved after ingest; the number of listings since
    -- that showed the same version, and the time of the last one.
    ADD COLUMN source_gone_at timestamptz,
    ADD COLUMN resent_looks integer NOT NULL DEFAULT 0,
    ADD COLUMN resent_at timestamptz,
    -- The number of the delivery of the same version, for servers whose files are ingested
    -- again after they were deleted or moved.
    ADD COLUMN delivery integer NOT NULL DEFAULT 0,
    ADD CONSTRAINT files_hold CHECK (hold IN ('unjudged', 'held', 'free')),
    ADD CONSTRAINT files_looks CHECK (least(looks, clock_looks, tries, resent_looks, delivery) >= 0),
    ADD CONSTRAINT files_shown CHECK ((shown_size IS NULL) = (shown_mtime IS NULL));

ALTER TABLE files DROP CONSTRAINT files_version;
ALTER TABLE files ADD CONSTRAINT files_version UNIQUE (server_uuid, remote_path_sha256, size_bytes, mtime, delivery);

CREATE INDEX files_shown ON files (server_uuid, remote_path_sha256) WHERE shown_mtime IS NOT NULL;
CREATE INDEX files_held ON files (server_uuid, id) WHERE hold IN ('unjudged', 'held');
CREATE INDEX files_resent ON files (server_uuid, id) WHERE resent_looks > 0;
-- A path that never settles has one error row.
CREATE UNIQUE INDEX files_unsettled_path ON files (server_uuid, remote_path_sha256) WHERE status = 'error' AND error_kind = 'unsettled';

-- A version that changed repeatedly while it was read.
INSERT INTO file_status_transitions (from_status, to_status) VALUES ('superseded', 'error');

-- A one-line note on the listing that is not a failure; null: none.
ALTER TABLE scans ADD COLUMN note text;

-- +goose Down
ALTER TABLE scans DROP COLUMN note;
DELETE FROM file_status_transitions WHERE from_status = 'superseded' AND to_status = 'error';
DROP INDEX files_unsettled_path;
DROP INDEX files_resent;
DROP INDEX files_held;
DROP INDEX files_shown;
ALTER TABLE files DROP CONSTRAINT files_version;
ALTER TABLE files ADD CONSTRAINT files_version UNIQUE (server_uuid, remote_path_sha256, size_bytes, mtime);
ALTER TABLE files
    DROP CONSTRAINT files_shown,
    DROP CONSTRAINT files_looks,
    DROP CONSTRAINT files_hold,
    DROP COLUMN delivery,
    DROP COLUMN resent_at,
    DROP COLUMN resent_looks,
    DROP COLUMN source_gone_at,
    DROP COLUMN hold,
    DROP COLUMN time_shift,
    DROP COLUMN likes_id,
    DROP COLUMN look_first,
    DROP COLUMN tries,
    DROP COLUMN unsettled_since,
    DROP COLUMN clock_looks,
    DROP COLUMN looks,
    DROP COLUMN shown_mtime,
    DROP COLUMN shown_size;
