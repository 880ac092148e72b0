-- +goose Up
-- A completed file whose object is lost can be ingested again. What is read then
-- must have the hash that was announced.
ALTER TABLE files ADD COLUMN announced_hash text;
INSERT INTO file_status_transitions (from_status, to_status) VALUES ('completed', 'ready');

-- +goose Down
DELETE FROM file_status_transitions WHERE from_status = 'completed' AND to_status = 'ready';
ALTER TABLE files DROP COLUMN announced_hash;
