-- Who requested a listing, and what the patterns excluded in it.

-- +goose Up
ALTER TABLE scans
    -- schedule or manual; null: unknown, from before this migration.
    ADD COLUMN source           text,
    -- The principal who requested a manual scan.
    ADD COLUMN requested_by     text,
    -- Excluded files and skipped folders, with the path of one, escaped for display.
    ADD COLUMN excluded         bigint NOT NULL DEFAULT 0,
    ADD COLUMN excluded_example text,
    ADD CONSTRAINT scans_excluded CHECK (excluded >= 0);

-- +goose Down
ALTER TABLE scans DROP COLUMN source, DROP COLUMN requested_by, DROP COLUMN excluded, DROP COLUMN excluded_example;
