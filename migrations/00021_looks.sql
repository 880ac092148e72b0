-- What looks at a server tell of a file besides its size and time: how often it
-- changed, how listings show it, whether it only looks new, whether it is back.

-- +goose Up
ALTER TABLE files
    -- Listings show the version so where a look at the file itself (STAT) shows
    -- size_bytes and mtime; null: they agree.
    ADD COLUMN shown_size bigint,
    ADD COLUMN shown_mtime timestamptz,
    -- How many looks in a row showed it changed, how many of these only in a time
    -- that moved with the clock, and since when.
    ADD COLUMN looks integer NOT NULL DEFAULT 0,
    ADD COLUMN clock_looks integer NOT NULL DEFAULT 0,
    ADD COLUMN unsettled_since timestamptz,
    -- How often in a row the path was taken up and found changed while it was read.
    ADD COLUMN tries integer NOT NULL DEFAULT 0,
    -- It is not taken before a look at the file itself: the listing was wrong.
    ADD COLUMN look_first boolean NOT NULL DEFAULT false,
    -- The completed version of the same path and size, and by how many seconds the
    -- time has moved since.
    ADD COLUMN likes_id bigint,
    ADD COLUMN time_shift bigint,
    -- Whether a file that is new only by its time may be taken: 'unjudged' until the
    -- listing has come to its end, 'held' for an operator, 'free'; null: no question.
    ADD COLUMN hold text,
    -- When the source was deleted or moved after it was taken; in how many listings
    -- since, and when last, the server showed the same version again.
    ADD COLUMN source_gone_at timestamptz,
    ADD COLUMN resent_looks integer NOT NULL DEFAULT 0,
    ADD COLUMN resent_at timestamptz,
    -- Counts deliveries of the same version, where the server's rule is to take it
    -- again after it was deleted or moved.
    ADD COLUMN delivery integer NOT NULL DEFAULT 0,
    ADD CONSTRAINT files_hold CHECK (hold IN ('unjudged', 'held', 'free')),
    ADD CONSTRAINT files_looks CHECK (least(looks, clock_looks, tries, resent_looks, delivery) >= 0),
    ADD CONSTRAINT files_shown CHECK ((shown_size IS NULL) = (shown_mtime IS NULL));

ALTER TABLE files DROP CONSTRAINT files_version;
ALTER TABLE files ADD CONSTRAINT files_version UNIQUE (server_uuid, remote_path_sha256, size_bytes, mtime, delivery);

CREATE INDEX files_shown ON files (server_uuid, remote_path_sha256) WHERE shown_mtime IS NOT NULL;
CREATE INDEX files_held ON files (server_uuid, id) WHERE hold IN ('unjudged', 'held');
CREATE INDEX files_resent ON files (server_uuid, id) WHERE resent_looks > 0;
-- A path that never settles has one row that says so.
CREATE UNIQUE INDEX files_unsettled_path ON files (server_uuid, remote_path_sha256) WHERE status = 'error' AND error_kind = 'unsettled';

-- A version that was found changed again and again while it was read.
INSERT INTO file_status_transitions (from_status, to_status) VALUES ('superseded', 'error');

-- What a listing noticed that is no failure, one line; null: nothing.
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
