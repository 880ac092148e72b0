-- Who is logged in to the console. A session stands for a token and ends with it.

-- +goose Up
CREATE TABLE console_sessions (
    -- The cookie has 256 random bits, so a plain digest cannot be guessed back.
    session_sha256 bytea PRIMARY KEY,
    token_sha256   bytea NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    expires_at     timestamptz NOT NULL,
    CONSTRAINT console_sessions_digests CHECK (length(session_sha256) = 32 AND length(token_sha256) = 32)
);

CREATE INDEX console_sessions_by_expiry ON console_sessions (expires_at);

-- +goose Down
DROP TABLE console_sessions;
