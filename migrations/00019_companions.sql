-- Done-markers and checksum files belong to one version of a file: which version of
-- them was there with it is on record. Sources that could not be deleted or moved
-- are found by an index.

-- +goose Up
ALTER TABLE files
    -- Size and time of the checksum file in sidecar_raw, and the done-marker likewise.
    ADD COLUMN sidecar_size   bigint,
    ADD COLUMN sidecar_mtime  timestamptz,
    ADD COLUMN marker_raw     bytea,
    ADD COLUMN marker_size    bigint,
    ADD COLUMN marker_mtime   timestamptz,
    -- It was there with an earlier version, unchanged, or is older than this one.
    ADD COLUMN sidecar_stale  boolean NOT NULL DEFAULT false,
    ADD COLUMN marker_stale   boolean NOT NULL DEFAULT false,
    -- Why the source is still there although it should have been deleted or moved,
    -- and when that was last tried; null: it is not, or need not be.
    ADD COLUMN source_left    text,
    ADD COLUMN source_left_at timestamptz;
CREATE INDEX files_source_left ON files (id) WHERE source_left IS NOT NULL;
-- Finds the files of a companion that is left alone.
CREATE INDEX files_by_sidecar ON files (server_uuid, sha256(sidecar_raw)) WHERE sidecar_raw IS NOT NULL;
CREATE INDEX files_by_marker ON files (server_uuid, sha256(marker_raw)) WHERE marker_raw IS NOT NULL;

-- +goose Down
DROP INDEX files_by_marker;
DROP INDEX files_by_sidecar;
DROP INDEX files_source_left;
ALTER TABLE files DROP COLUMN sidecar_size, DROP COLUMN sidecar_mtime, DROP COLUMN marker_raw, DROP COLUMN marker_size,
    DROP COLUMN marker_mtime, DROP COLUMN sidecar_stale, DROP COLUMN marker_stale, DROP COLUMN source_left, DROP COLUMN source_left_at;
