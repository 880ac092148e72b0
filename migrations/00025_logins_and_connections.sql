-- What is known of log-ins beyond refused passwords, and who is connected.

-- +goose Up
ALTER TABLE server_logins
    -- A log-in with the present credentials succeeded.
    ADD COLUMN accepted        boolean NOT NULL DEFAULT false,
    -- In a row, log-ins that ended with a refusal of the key, and those whose
    -- connection broke after the key was offered.
    ADD COLUMN keys_refused    integer NOT NULL DEFAULT 0,
    ADD COLUMN keys_unanswered integer NOT NULL DEFAULT 0,
    ADD COLUMN keys_not_before timestamptz,
    ADD CONSTRAINT server_logins_keys CHECK (keys_refused >= 0 AND keys_unanswered >= 0);
UPDATE server_logins SET accepted = refused = 0 AND unanswered = 0;

-- How long the next log-in waits after one more that was not answered; unanswered
-- counts those before it. Without any log-in that succeeded, silence after the
-- password is how some servers refuse it, and accounts are locked: then it is three
-- log-ins an hour. Else it is a line that breaks: 5 s to 2 min, and 10 min later on.
CREATE FUNCTION login_pause(unanswered integer, accepted boolean) RETURNS interval LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN NOT accepted AND unanswered >= 1 THEN interval '20 minutes'
        ELSE least(interval '5 seconds' * 2 ^ least(unanswered, 10), CASE WHEN unanswered < 8 THEN interval '2 minutes' ELSE interval '10 minutes' END) END
$$;

-- How many connections a server was found to bear, until when that is not tried
-- upward, and how many trials in a row were refused.
ALTER TABLE sftp_servers
    ADD COLUMN connection_limit       integer,
    ADD COLUMN connection_limit_until timestamptz,
    ADD COLUMN connection_limit_tries integer NOT NULL DEFAULT 0,
    ADD CONSTRAINT sftp_servers_connection_limit
        CHECK ((connection_limit IS NULL) = (connection_limit_until IS NULL) AND connection_limit >= 1 AND connection_limit_tries >= 0);

-- The connections of all processes. One that a killed process has left counts until
-- it was not confirmed for a while.
CREATE TABLE server_connections (
    connection_uuid uuid PRIMARY KEY,
    server_uuid     uuid NOT NULL REFERENCES sftp_servers (server_uuid) ON DELETE CASCADE,
    -- The process, as people are shown it.
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
