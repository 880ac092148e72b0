-- Which listing has shown a name that is set aside last: one that is cut goes on in
-- further attempts, and only all of them together tell what is not there any more.

-- +goose Up
ALTER TABLE names_aside
    ADD COLUMN listing text NOT NULL DEFAULT '',
    -- The file that a companion speaks of, if it is one.
    ADD COLUMN of_raw  bytea;

-- +goose Down
ALTER TABLE names_aside DROP COLUMN of_raw, DROP COLUMN listing;
