-- A done-marker or checksum file belongs to one version of a file, so its own version is
-- recorded with the file. Sources that could not be deleted or moved are indexed.

-- +goose Up
ALTER TABLE files
    -- Size and time of the checksum file in sidecar_raw, and of the done-marker.
    ADD COLUMN sidecar_size   bigint,
    ADD COLUMN sidecar_mtime  timestamptz,
    ADD COLUMN marker_raw     bytea,
    ADD COLUMN marker_size    bigint,
    ADD COLUMN marker_mtime   timestamptz,
    -- It belongs to an earlier version, unchanged, or is older than this one.
    ADD COLUMN sidecar_stale  boolean NOT NULL DEFAULT false,
    ADD COLUMN marker_stale   boolean NOT NULL DEFAULT false,
    -- The reason why the source still exists although it should have been deleted or moved, and
    -- the time of the last attempt; null: no source remains or none has to be removed.
    ADD COLUMN source_left    text,
    ADD COLUMN source_left_at timestamptz;
CREATE INDEX files_source_left ON files (id) WHERE source_left IS NOT NULL;
-- Finds the files of a companion without a file.
CREATE INDEX files_by_sidecar ON files (server_uuid, sha256(sidecar_raw)) WHERE sidecar_raw IS NOT NULL;
CREATE INDEX files_by_marker ON files (server_uuid, sha256(marker_raw)) WHERE marker_raw IS NOT NULL;

-- +goose Down
DROP INDEX files_by_marker;
DROP INDEX files_by_sidecar;
DROP INDEX files_source_left;
ALTER TABLE files DROP COLUMN sidecar_size, DROP COLUMN sidecar_mtime, DROP COLUMN marker_raw, DROP COLUMN marker_size,
    DROP COLUMN marker_mtime, DROP COLUMN sidecar_stale, DROP COLUMN marker_stale, DROP COLUMN source_left, DROP COLUMN source_left_at;
