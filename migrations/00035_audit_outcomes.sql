-- Outcomes of the audit log's entries, and indexes of its filters.

-- +goose Up
-- An entry is written before its change, the outcome afterwards. An entry without an outcome
-- is in progress, or its process crashed.
CREATE TABLE audit_outcomes (
    -- Of audit_log; without a foreign key, because both tables only grow.
    entry_key uuid PRIMARY KEY,
    at        timestamptz NOT NULL DEFAULT now(),
    outcome   text NOT NULL,
    -- Empty unless the action failed.
    error     text NOT NULL DEFAULT '',
    CONSTRAINT audit_outcomes_outcome CHECK (outcome IN ('done', 'failed')),
    CONSTRAINT audit_outcomes_error CHECK (outcome = 'failed' OR error = '')
);

CREATE TRIGGER audit_outcomes_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_outcomes
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE INDEX audit_log_by_actor ON audit_log (actor, id);
CREATE INDEX audit_log_by_action ON audit_log (action, id);
CREATE INDEX audit_log_by_target ON audit_log (target, id);
CREATE INDEX audit_log_by_time ON audit_log (at);

-- +goose Down
DROP INDEX audit_log_by_time, audit_log_by_target, audit_log_by_action, audit_log_by_actor;
DROP TABLE audit_outcomes;
