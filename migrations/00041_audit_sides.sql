-- What each place has of the thing that a difference is about.

-- +goose Up
-- "source", "ledger", "object" and "announcement", each with "state" ("same",
-- "missing", "extra", "wrong") and what is known: "status", "size", "sha256",
-- "mod_time", "count". What is absent was not looked at.
ALTER TABLE audit_differences ADD COLUMN sides jsonb NOT NULL DEFAULT '{}';

-- +goose Down
ALTER TABLE audit_differences DROP COLUMN sides;
