-- Results of reconciliation, and the workers whose staging it checks.

-- +goose Up
CREATE TABLE worker_hosts (
    -- The staging volume's id, which survives restarts of its worker.
    host_id    text PRIMARY KEY,
    first_seen timestamptz NOT NULL DEFAULT now(),
    last_seen  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE reconciliations (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Identifies the run, so that a repeated attempt writes the same row.
    run_key         text NOT NULL UNIQUE,
    started_at      timestamptz NOT NULL,
    finished_at     timestamptz NOT NULL DEFAULT now(),
    requeued        bigint NOT NULL DEFAULT 0,
    restarted       bigint NOT NULL DEFAULT 0,
    uploads_aborted bigint NOT NULL DEFAULT 0,
    staging_removed bigint NOT NULL DEFAULT 0,
    objects_missing bigint NOT NULL DEFAULT 0,
    hosts_silent    bigint NOT NULL DEFAULT 0,
    -- One line per finding, for display; at most a few hundred.
    findings        text[] NOT NULL DEFAULT '{}',
    CONSTRAINT reconciliations_key CHECK (run_key <> '')
);

-- +goose Down
DROP TABLE reconciliations;
DROP TABLE worker_hosts;
