-- Unsuccessful log-ins by tests of settings that are not saved: servers lock accounts
-- by counting them.

-- +goose Up
CREATE TABLE draft_logins (
    -- Digest of host, port and user name.
    account_sha256 bytea PRIMARY KEY,
    -- Log-ins in flight, refused or unanswered since the last success or pause.
    passwords      integer NOT NULL DEFAULT 0,
    keys           integer NOT NULL DEFAULT 0,
    last_at        timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT draft_logins_digest CHECK (length(account_sha256) = 32),
    CONSTRAINT draft_logins_counts CHECK (least(passwords, keys) >= 0)
);

-- +goose Down
DROP TABLE draft_logins;
