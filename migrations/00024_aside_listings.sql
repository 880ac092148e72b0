-- The listing that last showed an ignored entry: an interrupted listing continues in further
-- attempts, and only all of them together show which entries are gone.

-- +goose Up
ALTER TABLE names_aside
    ADD COLUMN listing text NOT NULL DEFAULT '',
    -- The file that a companion names, if any.
    ADD COLUMN of_raw  bytea;

-- +goose Down
ALTER TABLE names_aside DROP COLUMN of_raw, DROP COLUMN listing;
