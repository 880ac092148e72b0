-- A file that cannot be fetched now gives its place to others and is taken up
-- again later, where its bytes are.

-- +goose Up
ALTER TABLE files
    -- A ready file is not taken up again before this time.
    ADD COLUMN not_before timestamptz,
    -- How often in a row it was put off: each time for longer.
    ADD COLUMN deferrals  integer NOT NULL DEFAULT 0 CHECK (deferrals >= 0),
    -- The step of error_kind and error_message.
    ADD COLUMN error_step text,
    -- The staging volume that has, or had, bytes of the file.
    ADD COLUMN staged_on  text;

-- A server's queue of ready files.
CREATE INDEX files_turn ON files (server_uuid, coalesce(not_before, created_at), id) WHERE status = 'ready';
CREATE INDEX files_deferred ON files (server_uuid, not_before) WHERE status = 'ready' AND not_before IS NOT NULL;

INSERT INTO file_status_transitions (from_status, to_status) VALUES
    ('downloading', 'ready'),
    ('downloaded',  'ready'),
    ('verified',    'ready'),
    ('uploading',   'ready'),
    -- Its object turns out to be there already.
    ('downloading', 'uploaded');

-- +goose Down
DELETE FROM file_status_transitions
WHERE to_status = 'ready' AND from_status IN ('downloading', 'downloaded', 'verified', 'uploading')
    OR to_status = 'uploaded' AND from_status = 'downloading';
DROP INDEX files_deferred;
DROP INDEX files_turn;
ALTER TABLE files DROP COLUMN staged_on, DROP COLUMN error_step, DROP COLUMN deferrals, DROP COLUMN not_before;
