-- The state of logins besides refused passwords, and the open connections.

-- +goose Up
ALTER TABLE server_logins
    -- A login with the current credentials succeeded.
    ADD COLUMN accepted        boolean NOT NULL DEFAULT false,
    -- Consecutive log-ins with a refused key, including connections that broke after the
    -- key was offered.
    ADD COLUMN keys_refused    integer NOT NULL DEFAULT 0,
    ADD COLUMN keys_unanswered integer NOT NULL DEFAULT 0,
    ADD COLUMN keys_not_before timestamptz,
    ADD CONSTRAINT server_logins_keys CHECK (keys_refused >= 0 AND keys_unanswered >= 0);
UPDATE server_logins SET accepted = refused = 0 AND unanswered = 0;

-- The wait before the next login after an unanswered one; unanswered counts the previous ones.
-- If no login has succeeded, silence after the password is how some servers refuse it, and
-- accounts may be locked: three logins an hour. Otherwise the connection is unreliable: 5 s to
-- 2 min, and later 10 min.
CREATE FUNCTION login_pause(unanswered integer, accepted boolean) RETURNS interval LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN NOT accepted AND unanswered >= 1 THEN interval '20 minutes'
        ELSE least(interval '5 seconds' * 2 ^ least(unanswered, 10), CASE WHEN unanswered < 8 THEN interval '2 minutes' ELSE interval '10 minutes' END) END
$$;

-- The number of connections that a server accepts as measured, the time until more are tried,
-- and the number of consecutive refused probes.
ALTER TABLE sftp_servers
    ADD COLUMN connection_limit       integer,
    ADD COLUMN connection_limit_until timestamptz,
    ADD COLUMN connection_limit_tries integer NOT NULL DEFAULT 0,
    ADD CONSTRAINT sftp_servers_connection_limit
        CHECK ((connection_limit IS NULL) = (connection_limit_until IS NULL) AND connection_limit >= 1 AND connection_limit_tries >= 0);

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

-- +goose Down
DROP FUNCTION login_pause;
DROP TABLE server_connections;
ALTER TABLE sftp_servers DROP COLUMN connection_limit, DROP COLUMN connection_limit_until, DROP COLUMN connection_limit_tries;
ALTER TABLE server_logins DROP COLUMN accepted, DROP COLUMN keys_refused, DROP COLUMN keys_unanswered, DROP COLUMN keys_not_before;
