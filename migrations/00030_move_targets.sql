-- Target names on partners' servers during moves: the existence check and the move are two
-- requests, and RENAME overwrites on some servers.

-- +goose Up
CREATE TABLE move_targets (
    -- The digest of the target, see ingest.Server.MoveTarget.
    target_sha256 bytea PRIMARY KEY,
    -- The file that reserved the name; null between moves.
    file_uuid     uuid REFERENCES files (file_uuid) ON DELETE CASCADE,
    -- The original path of the file last moved there, if another file may not replace it.
    moved_from    bytea,
    changed_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT move_targets_used CHECK (file_uuid IS NOT NULL OR moved_from IS NOT NULL)
);
CREATE INDEX move_targets_file ON move_targets (file_uuid) WHERE file_uuid IS NOT NULL;

-- +goose Down
DROP TABLE move_targets;
