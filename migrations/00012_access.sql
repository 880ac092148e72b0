-- API tokens, console sessions, the log of requests, and kept answers.

-- +goose Up
CREATE TABLE api_tokens (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name         text NOT NULL,
    -- The token has 256 random bits, so a plain digest cannot be guessed back.
    token_sha256 bytea NOT NULL UNIQUE,
    role         text NOT NULL,
    -- Null: valid until it is revoked.
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now(),
    created_by   text NOT NULL,
    CONSTRAINT api_tokens_name CHECK (name ~ '^[A-Za-z0-9._-]{1,63}$' AND name <> 'bootstrap'),
    CONSTRAINT api_tokens_digest CHECK (length(token_sha256) = 32),
    CONSTRAINT api_tokens_role CHECK (role IN ('viewer', 'operator', 'admin'))
);

-- A revoked token's name may be used again, so that a token can be replaced.
CREATE UNIQUE INDEX api_tokens_live_name ON api_tokens (name) WHERE revoked_at IS NULL;

-- A session stands for a token and ends with it.
CREATE TABLE console_sessions (
    -- The cookie has 256 random bits, so a plain digest cannot be guessed back.
    session_sha256 bytea PRIMARY KEY,
    token_sha256   bytea NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    expires_at     timestamptz NOT NULL,
    CONSTRAINT console_sessions_digests CHECK (length(session_sha256) = 32 AND length(token_sha256) = 32)
);

CREATE INDEX console_sessions_by_expiry ON console_sessions (expires_at);

CREATE TABLE audit_log (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Made by the writer, so that a repeated write is recognized.
    entry_key uuid NOT NULL UNIQUE,
    at        timestamptz NOT NULL DEFAULT now(),
    actor     text NOT NULL,
    role      text NOT NULL,
    action    text NOT NULL,
    target    text NOT NULL,
    details   jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT audit_log_actor CHECK (actor <> ''),
    CONSTRAINT audit_log_action CHECK (action <> ''),
    CONSTRAINT audit_log_details CHECK (jsonb_typeof(details) = 'object')
);

CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- A request that is sent again gets the same answer.
CREATE TABLE api_answers (
    principal       text NOT NULL,
    idempotency_key text NOT NULL,
    -- Keyed digest of method, path and body; bodies may hold passwords.
    request_digest  bytea NOT NULL,
    -- Null while the first request is in progress.
    status          integer,
    headers         jsonb NOT NULL DEFAULT '{}',
    body            bytea NOT NULL DEFAULT '',
    begun_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (principal, idempotency_key)
);

CREATE INDEX api_answers_by_age ON api_answers (begun_at);

-- +goose Down
DROP TABLE api_answers;
DROP TABLE audit_log;
DROP TABLE console_sessions;
DROP TABLE api_tokens;
