-- Refused passwords since the credentials of the server were last changed.

-- +goose Up
CREATE TABLE server_logins (
    server_uuid uuid PRIMARY KEY REFERENCES sftp_servers (server_uuid) ON DELETE CASCADE,
    -- At 2, no password is sent until the credentials are changed.
    refused     integer NOT NULL DEFAULT 0,
    -- Consecutive logins whose connection broke after the password was sent: not_before grows.
    unanswered  integer NOT NULL DEFAULT 0,
    not_before  timestamptz,
    CONSTRAINT server_logins_refused CHECK (refused BETWEEN 0 AND 2),
    CONSTRAINT server_logins_unanswered CHECK (unanswered >= 0)
);

-- Passwords being sent. The attempt of a killed process counts as unanswered after 10 minutes.
CREATE TABLE server_login_attempts (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    server_uuid uuid NOT NULL REFERENCES server_logins ON DELETE CASCADE,
    began       timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX server_login_attempts_server ON server_login_attempts (server_uuid);

-- +goose Down
DROP TABLE server_login_attempts;
DROP TABLE server_logins;
