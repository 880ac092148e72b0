-- Files that were probably moved on the server after ingest.

-- +goose Up
-- The ingested file, or one in flight, with the same name, size and time at another path, while
-- or after "hold" was decided by it; null: none.
ALTER TABLE files ADD COLUMN moved_from bigint;
-- Finds the ingested files with a name, size and time. None of the columns changes after
-- completion. The name is hashed because an index entry is limited to 2704 bytes.
CREATE INDEX files_name ON files (server_uuid, hashtextextended(filename, 0), size_bytes, mtime) WHERE status = 'completed';

-- +goose Down
DROP INDEX files_name;
ALTER TABLE files DROP COLUMN moved_from;
