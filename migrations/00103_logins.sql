-- Logins, connections and the keyset that opens the credentials.

-- +goose Up
-- Refused, unanswered and successful logins with the credentials of a server.
CREATE TABLE server_logins (
    server_uuid     uuid PRIMARY KEY REFERENCES sftp_servers (server_uuid) ON DELETE CASCADE,
    -- When the credentials were entered or last accepted. Servers with the same host, port and
    -- user share an account, which refused passwords may lock: refusals for other servers of
    -- the account count from this time.
    since           timestamptz NOT NULL DEFAULT now(),
    -- A login with the current credentials succeeded.
    accepted        boolean NOT NULL DEFAULT false,
    -- Refused passwords: at 2, none is sent until the credentials are changed.
    refused         integer NOT NULL DEFAULT 0,
    -- The last refused password.
    refused_at      timestamptz,
    -- Consecutive logins whose connection broke after the password was sent: not_before grows.
    unanswered      integer NOT NULL DEFAULT 0,
    not_before      timestamptz,
    -- Consecutive logins with a refused key, including connections that broke after the key
    -- was offered.
    keys_refused    integer NOT NULL DEFAULT 0,
    keys_unanswered integer NOT NULL DEFAULT 0,
    keys_not_before timestamptz,
    CONSTRAINT server_logins_refused CHECK (refused BETWEEN 0 AND 2),
    CONSTRAINT server_logins_unanswered CHECK (unanswered >= 0),
    CONSTRAINT server_logins_keys CHECK (keys_refused >= 0 AND keys_unanswered >= 0)
);
CREATE INDEX server_logins_refused ON server_logins (server_uuid) WHERE refused > 0;

-- Passwords being sent. The attempt of a killed process counts as unanswered after 10 minutes.
CREATE TABLE server_login_attempts (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    server_uuid uuid NOT NULL REFERENCES server_logins ON DELETE CASCADE,
    began       timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX server_login_attempts_server ON server_login_attempts (server_uuid);

-- The wait before the next login after an unanswered one; unanswered counts the previous ones.
-- If no login has succeeded, silence after the password is how some servers refuse it, and
-- accounts may be locked: three logins an hour. Otherwise the connection is unreliable: 5 s to
-- 2 min, and later 10 min.
CREATE FUNCTION login_pause(unanswered integer, accepted boolean) RETURNS interval LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN NOT accepted AND unanswered >= 1 THEN interval '20 minutes'
        ELSE least(interval '5 seconds' * 2 ^ least(unanswered, 10), CASE WHEN unanswered < 8 THEN interval '2 minutes' ELSE interval '10 minutes' END) END
$$;

-- Unsuccessful logins by tests of settings that are not saved: servers lock accounts
-- by counting them.
CREATE TABLE draft_logins (
    -- Digest of host, port and user name.
    account_sha256 bytea PRIMARY KEY,
    -- Logins in flight, refused or unanswered since the last success or pause.
    passwords      integer NOT NULL DEFAULT 0,
    keys           integer NOT NULL DEFAULT 0,
    last_at        timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT draft_logins_digest CHECK (length(account_sha256) = 32),
    CONSTRAINT draft_logins_counts CHECK (least(passwords, keys) >= 0)
);

-- The connections of all processes. The connection of a killed process counts until its
-- confirmation expires.
CREATE TABLE server_connections (
    connection_uuid uuid PRIMARY KEY,
    server_uuid     uuid NOT NULL REFERENCES sftp_servers (server_uuid) ON DELETE CASCADE,
    -- The process, for display.
    holder          text NOT NULL,
    began           timestamptz NOT NULL DEFAULT now(),
    confirmed       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT server_connections_holder CHECK (holder <> '')
);
CREATE INDEX server_connections_server ON server_connections (server_uuid);

-- A value sealed by the keyset of this installation. A keyset that cannot open it belongs to
-- another installation and must not seal anything here.
CREATE TABLE keyset_canary (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    sealed bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- +goose Down
DROP TABLE keyset_canary;
DROP TABLE server_connections;
DROP TABLE draft_logins;
DROP FUNCTION login_pause;
DROP TABLE server_login_attempts;
DROP TABLE server_logins;
