-- The files of a server in flight: its dispatcher reserves slots, at most max_parallel at a
-- time.

-- +goose Up
-- The row's lock serializes reservations. The server's own row is unsuitable: listings lock it
-- while they write.
CREATE TABLE dispatchers (
    server_uuid uuid PRIMARY KEY REFERENCES sftp_servers (server_uuid) ON DELETE CASCADE,
    -- The number of the current dispatcher; older ones are rejected.
    fence       bigint NOT NULL
);

CREATE TABLE slots (
    file_id     bigint PRIMARY KEY REFERENCES files (id) ON DELETE CASCADE,
    server_uuid uuid NOT NULL,
    -- Never reused: a file with another slot is another dispatch.
    slot        bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    reserved_at timestamptz NOT NULL DEFAULT now()
-- Rows are short-lived, so dead ones must be vacuumed early.
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

CREATE INDEX slots_by_server ON slots (server_uuid);

-- +goose Down
DROP TABLE slots;
DROP TABLE dispatchers;
