-- +goose Up
-- A completed file whose object is lost can be ingested again. The content must have the hash
-- of the published notification.
ALTER TABLE files ADD COLUMN announced_hash text;
INSERT INTO file_status_transitions (from_status, to_status) VALUES ('completed', 'ready');

-- +goose Down
DELETE FROM file_status_transitions WHERE from_status = 'completed' AND to_status = 'ready';
ALTER TABLE files DROP COLUMN announced_hash;
