-- +goose Up

-- Fresh and deferred files alternate: each kind is found without reading the other.
CREATE INDEX files_fresh ON files (server_uuid, created_at, id) WHERE status = 'ready' AND not_before IS NULL;
CREATE INDEX files_deferred ON files (server_uuid, not_before, id) WHERE status = 'ready' AND not_before IS NOT NULL;
DROP INDEX files_turn;

-- +goose Down

CREATE INDEX files_turn ON files (server_uuid, coalesce(not_before, created_at), id) WHERE status = 'ready';
DROP INDEX files_fresh;
DROP INDEX files_deferred;
