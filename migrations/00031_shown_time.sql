-- +goose Up
-- The modification time of the open file when its transfer began, in Unix seconds. A resumed
-- transfer compares it if a new time alone is not a new version. 0 is unknown.
ALTER TABLE transfers ADD COLUMN shown_mtime bigint NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE transfers DROP COLUMN shown_mtime;
