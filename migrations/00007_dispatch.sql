-- Which files of a server may be in flight: the dispatcher of a server reserves
-- its slots, at most max_parallel at a time.

-- +goose Up
-- The row's lock serializes reservations. The server's own row would not do:
-- listings lock it for as long as they write.
CREATE TABLE dispatchers (
    server_uuid uuid PRIMARY KEY REFERENCES sftp_servers (server_uuid) ON DELETE CASCADE,
    -- Number of the current dispatcher; one with an older number is refused.
    fence       bigint NOT NULL
);

CREATE TABLE slots (
    file_id     bigint PRIMARY KEY REFERENCES files (id) ON DELETE CASCADE,
    server_uuid uuid NOT NULL,
    -- Unique for ever: a file that gets another slot is another dispatch.
    slot        bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    reserved_at timestamptz NOT NULL DEFAULT now()
-- Its rows are short-lived: dead ones must not be read for long.
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

CREATE INDEX slots_by_server ON slots (server_uuid);

-- +goose Down
DROP TABLE slots;
DROP TABLE dispatchers;
