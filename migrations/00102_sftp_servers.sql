-- Partners' servers: connection, selection rules, state.

-- +goose Up
CREATE TABLE sftp_servers (
    id                     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    server_uuid            uuid NOT NULL DEFAULT gen_random_uuid() UNIQUE,
    -- Byte order, so that paging by name does not depend on the locale.
    name                   text COLLATE "C" NOT NULL,
    host                   text NOT NULL,
    port                   integer NOT NULL DEFAULT 22,
    username               text NOT NULL,
    -- Bound to server_uuid and the address: useless in another row.
    password_encrypted     bytea,
    private_key_encrypted  bytea,
    -- One authorized_keys line per key. Without a key, no login is attempted.
    host_keys              text[] NOT NULL DEFAULT '{}',
    legacy_algorithms      boolean NOT NULL DEFAULT false,
    root_path              text NOT NULL DEFAULT '/',
    max_depth              integer NOT NULL DEFAULT 64,
    include_globs          text[] NOT NULL DEFAULT '{}',
    exclude_globs          text[] NOT NULL DEFAULT '{}',
    settle                 interval NOT NULL DEFAULT '10 seconds',
    min_age                interval NOT NULL DEFAULT '0 seconds',
    done_marker            text NOT NULL DEFAULT '',
    sidecar_wait           interval NOT NULL DEFAULT '0 seconds',
    scan_interval          interval NOT NULL DEFAULT '1 minute',
    -- Number of slots: files in flight across all workers.
    max_parallel           integer NOT NULL DEFAULT 4,
    transfer               text NOT NULL DEFAULT 'auto',
    read_once              boolean NOT NULL DEFAULT false,
    after_ingest           text NOT NULL DEFAULT 'keep',
    on_collision           text NOT NULL DEFAULT 'rename',
    -- Less common settings as one object; a missing key has its default.
    options                jsonb NOT NULL DEFAULT '{}',
    -- is_active is the operator's switch; state is the result of scans.
    is_active              boolean NOT NULL DEFAULT true,
    state                  text NOT NULL DEFAULT 'ok',
    last_error             text,
    last_scan_at           timestamptz,
    -- The unread folders of the latest completed scan, see scans.
    unread                 jsonb NOT NULL DEFAULT '{}',
    -- The number of outstanding reads of one file that the server accepts, as measured.
    read_window            integer,
    read_window_at         timestamptz,
    -- The number of connections that the server accepts as measured, the time until more are
    -- tried, and the number of consecutive refused probes.
    connection_limit       integer,
    connection_limit_until timestamptz,
    connection_limit_tries integer NOT NULL DEFAULT 0,
    -- A removed server has no credentials, and its name is free; its files still refer to it.
    removed_at             timestamptz,
    created_at             timestamptz NOT NULL DEFAULT now(),
    updated_at             timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT sftp_servers_name CHECK (name ~ '^[A-Za-z0-9._-]{1,63}$'),
    CONSTRAINT sftp_servers_host CHECK (host <> ''),
    CONSTRAINT sftp_servers_port CHECK (port BETWEEN 1 AND 65535),
    CONSTRAINT sftp_servers_username CHECK (username <> ''),
    -- "~" and "~/dir" are relative to the user's home folder on the server.
    CONSTRAINT sftp_servers_root_path CHECK (root_path ~ '^[/~]'),
    CONSTRAINT sftp_servers_max_depth CHECK (max_depth BETWEEN 0 AND 64),
    CONSTRAINT sftp_servers_settle CHECK (settle BETWEEN '0 seconds' AND '24 hours'),
    CONSTRAINT sftp_servers_min_age CHECK (min_age BETWEEN '0 seconds' AND '7 days'),
    CONSTRAINT sftp_servers_sidecar_wait CHECK (sidecar_wait BETWEEN '0 seconds' AND '7 days'),
    CONSTRAINT sftp_servers_scan_interval CHECK (scan_interval > '0 seconds'),
    CONSTRAINT sftp_servers_max_parallel CHECK (max_parallel BETWEEN 1 AND 256),
    CONSTRAINT sftp_servers_transfer CHECK (transfer IN ('auto', 'staged', 'direct')),
    CONSTRAINT sftp_servers_after_ingest CHECK (after_ingest IN ('keep', 'delete') OR after_ingest LIKE 'move:/_%'),
    CONSTRAINT sftp_servers_on_collision CHECK (on_collision IN ('rename', 'overwrite', 'keep')),
    CONSTRAINT sftp_servers_options CHECK (jsonb_typeof(options) = 'object'),
    CONSTRAINT sftp_servers_unread CHECK (jsonb_typeof(unread) = 'object'),
    CONSTRAINT sftp_servers_read_window
        CHECK ((read_window IS NULL) = (read_window_at IS NULL) AND read_window BETWEEN 1 AND 64),
    CONSTRAINT sftp_servers_connection_limit
        CHECK ((connection_limit IS NULL) = (connection_limit_until IS NULL) AND connection_limit >= 1 AND connection_limit_tries >= 0),
    CONSTRAINT sftp_servers_state CHECK (state IN ('ok', 'suspended')),
    CONSTRAINT sftp_servers_removed
        CHECK (removed_at IS NULL OR (NOT is_active AND password_encrypted IS NULL AND private_key_encrypted IS NULL))
);

CREATE UNIQUE INDEX sftp_servers_name_key ON sftp_servers (name) WHERE removed_at IS NULL;

CREATE TRIGGER sftp_servers_times BEFORE UPDATE ON sftp_servers
    FOR EACH ROW EXECUTE FUNCTION set_row_times();

-- +goose Down
DROP TABLE sftp_servers;
