-- Servers can go while the ledger keeps their files, and a request that is
-- sent again gets the answer it got.

-- +goose Up
-- A removed server has no credentials and another name; its files refer to it.
ALTER TABLE sftp_servers ADD COLUMN removed_at timestamptz;
ALTER TABLE sftp_servers ADD CONSTRAINT sftp_servers_removed
    CHECK (removed_at IS NULL OR (NOT is_active AND password_encrypted IS NULL AND private_key_encrypted IS NULL));

CREATE TABLE api_answers (
    principal       text NOT NULL,
    idempotency_key text NOT NULL,
    -- Keyed digest of method, path and body; bodies may hold passwords.
    request_digest  bytea NOT NULL,
    -- Null while the first request is under way.
    status          integer,
    headers         jsonb NOT NULL DEFAULT '{}',
    body            bytea NOT NULL DEFAULT '',
    begun_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (principal, idempotency_key)
);

CREATE INDEX api_answers_by_age ON api_answers (begun_at);
CREATE INDEX files_by_hash ON files (file_hash, id) WHERE file_hash IS NOT NULL;

-- +goose Down
DROP INDEX files_by_hash;
DROP TABLE api_answers;
ALTER TABLE sftp_servers DROP CONSTRAINT sftp_servers_removed, DROP COLUMN removed_at;
