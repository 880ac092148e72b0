-- What the reconciler found and did, and which workers' staging it looks after.

-- +goose Up
CREATE TABLE worker_hosts (
    -- The staging volume's id, which survives restarts of its worker.
    host_id      text PRIMARY KEY,
    first_seen   timestamptz NOT NULL DEFAULT now(),
    last_seen    timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE reconciliations (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Names the run, so that a repeated attempt writes the same row.
    run_key          text NOT NULL UNIQUE,
    started_at       timestamptz NOT NULL,
    finished_at      timestamptz NOT NULL DEFAULT now(),
    requeued         bigint NOT NULL DEFAULT 0,
    restarted        bigint NOT NULL DEFAULT 0,
    uploads_aborted  bigint NOT NULL DEFAULT 0,
    staging_removed  bigint NOT NULL DEFAULT 0,
    objects_missing  bigint NOT NULL DEFAULT 0,
    hosts_silent     bigint NOT NULL DEFAULT 0,
    -- One line for each thing found, for people; at most a few hundred.
    findings         text[] NOT NULL DEFAULT '{}',
    CONSTRAINT reconciliations_key CHECK (run_key <> '')
);

CREATE INDEX files_by_update ON files (updated_at, id)
    WHERE status IN ('downloading', 'downloaded', 'verified', 'uploading', 'uploaded', 'error');
CREATE INDEX files_by_completion ON files (completed_at, id) WHERE status = 'completed';

-- +goose Down
DROP INDEX files_by_completion;
DROP INDEX files_by_update;
DROP TABLE reconciliations;
DROP TABLE worker_hosts;
