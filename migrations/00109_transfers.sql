-- Checkpoints of direct transfers: a worker on any host resumes from them. A row
-- is removed in the transaction that ends its file.

-- +goose Up
CREATE TABLE transfers (
    file_id     bigint PRIMARY KEY REFERENCES files (id) ON DELETE CASCADE,
    -- The multipart upload in the object store; empty before it is created.
    upload_id   text NOT NULL,
    part_size   bigint NOT NULL,
    -- Two texts per stored part: its ETag and its SHA-256 in base64. All parts but the last
    -- have part_size bytes, next_offset bytes in total.
    parts       jsonb NOT NULL,
    next_offset bigint NOT NULL,
    -- Marshaled SHA-256 state over the first next_offset bytes.
    hash_state  bytea,
    -- The modification time of the open file when its transfer began, in Unix seconds. A resumed
    -- transfer compares it if a new time alone is not a new version. 0 is unknown.
    shown_mtime bigint NOT NULL DEFAULT 0,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT transfers_parts CHECK (jsonb_typeof(parts) = 'array' AND jsonb_array_length(parts) <= 20000),
    CONSTRAINT transfers_numbers CHECK (least(part_size, next_offset) >= 0)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
    toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 1000);

-- Digests do not compress; trying costs more than writing them.
ALTER TABLE transfers ALTER COLUMN parts SET STORAGE EXTERNAL;

-- +goose Down
DROP TABLE transfers;
