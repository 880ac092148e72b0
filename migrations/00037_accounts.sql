-- Servers with the same host, port and user share an account, which refused passwords may lock.

-- +goose Up
ALTER TABLE server_logins
    -- When the credentials were entered or last accepted: earlier refusals for other servers of the account do not count.
    ADD COLUMN since timestamptz NOT NULL DEFAULT now(),
    -- The last refused password.
    ADD COLUMN refused_at timestamptz;

-- +goose Down
ALTER TABLE server_logins DROP COLUMN since, DROP COLUMN refused_at;
