-- Audits requested by the API or the console, and their discrepancies.

-- +goose Up
CREATE TABLE audit_runs (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_uuid    uuid NOT NULL UNIQUE,
    state       text NOT NULL DEFAULT 'running',
    actor       text NOT NULL,
    -- Uuids of the audited servers; empty means all.
    servers     uuid[] NOT NULL DEFAULT '{}',
    deep        boolean NOT NULL DEFAULT false,
    -- Each attempt increments it; older attempts are rejected.
    attempt     bigint NOT NULL DEFAULT 0,
    started_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    sources     bigint NOT NULL DEFAULT 0,
    files       bigint NOT NULL DEFAULT 0,
    objects     bigint NOT NULL DEFAULT 0,
    bytes       bigint NOT NULL DEFAULT 0,
    pending     bigint NOT NULL DEFAULT 0,
    missing     bigint NOT NULL DEFAULT 0,
    extra       bigint NOT NULL DEFAULT 0,
    wrong       bigint NOT NULL DEFAULT 0,
    not_audited bigint NOT NULL DEFAULT 0,
    error       text,
    CONSTRAINT audit_runs_state CHECK (state IN ('running', 'completed', 'failed')),
    CONSTRAINT audit_runs_end CHECK ((state = 'running') = (finished_at IS NULL)),
    CONSTRAINT audit_runs_error CHECK ((state = 'failed') = (error IS NOT NULL))
);

CREATE TABLE audit_differences (
    run_id    bigint NOT NULL REFERENCES audit_runs ON DELETE CASCADE,
    seq       bigint NOT NULL,
    mark      text NOT NULL,
    -- All texts are safe to print.
    what      text NOT NULL,
    why       text NOT NULL,
    server    text NOT NULL DEFAULT '',
    path      text NOT NULL DEFAULT '',
    file_uuid uuid,
    -- One key per side, see ingest.AuditSides: source, ledger, object and notification, each
    -- with "state" ("same", "missing", "extra", "wrong") and, where known, "status", "size",
    -- "sha256", "mod_time", "count". An absent side was not compared.
    sides     jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (run_id, seq),
    CONSTRAINT audit_differences_mark CHECK (mark IN ('-', '+', '!', '?'))
);

-- +goose Down
DROP TABLE audit_differences;
DROP TABLE audit_runs;
