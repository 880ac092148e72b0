-- +goose Up
-- The time that the open file showed when its transfer began, in Unix seconds, for files where
-- a new time alone is not a new version: a resumed transfer compares it. 0 is unknown.
ALTER TABLE transfers ADD COLUMN shown_mtime bigint NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE transfers DROP COLUMN shown_mtime;
