-- Audits walk the rows and the bucket's listing side by side, and object stores
-- list in byte order. The index that keeps object keys unique gives that order,
-- so no further one is paid for at every change of a row.

-- +goose Up
DROP INDEX files_object_key;
CREATE UNIQUE INDEX files_object_key ON files (minio_object_key COLLATE "C") WHERE minio_object_key IS NOT NULL;

-- +goose Down
DROP INDEX files_object_key;
CREATE UNIQUE INDEX files_object_key ON files (minio_object_key) WHERE minio_object_key IS NOT NULL;
