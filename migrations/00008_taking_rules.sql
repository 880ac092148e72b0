-- Rules for servers that are not like others: when a file may be taken, how
-- often it can be opened, how old the peer's cryptography is.

-- +goose Up
ALTER TABLE sftp_servers
    ADD COLUMN min_age           interval NOT NULL DEFAULT '0 seconds',
    ADD COLUMN done_marker       text NOT NULL DEFAULT '',
    ADD COLUMN sidecar_wait      interval NOT NULL DEFAULT '0 seconds',
    ADD COLUMN max_depth         integer NOT NULL DEFAULT 64,
    ADD COLUMN on_collision      text NOT NULL DEFAULT 'rename',
    ADD COLUMN read_once         boolean NOT NULL DEFAULT false,
    ADD COLUMN legacy_algorithms boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT sftp_servers_min_age CHECK (min_age BETWEEN '0 seconds' AND '7 days'),
    ADD CONSTRAINT sftp_servers_sidecar_wait CHECK (sidecar_wait BETWEEN '0 seconds' AND '7 days'),
    ADD CONSTRAINT sftp_servers_max_depth CHECK (max_depth BETWEEN 0 AND 64),
    ADD CONSTRAINT sftp_servers_on_collision CHECK (on_collision IN ('rename', 'overwrite', 'keep'));

-- What a settling file still waits for besides time, for people; NULL: nothing.
ALTER TABLE files ADD COLUMN waits_for text;

-- +goose Down
ALTER TABLE files DROP COLUMN waits_for;
ALTER TABLE sftp_servers
    DROP COLUMN min_age, DROP COLUMN done_marker, DROP COLUMN sidecar_wait, DROP COLUMN max_depth,
    DROP COLUMN on_collision, DROP COLUMN read_once, DROP COLUMN legacy_algorithms;
