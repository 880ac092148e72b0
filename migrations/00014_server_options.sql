-- Less common settings as one object; a missing key has its default.

-- +goose Up
ALTER TABLE sftp_servers ADD COLUMN options jsonb NOT NULL DEFAULT '{}';
ALTER TABLE sftp_servers ADD CONSTRAINT sftp_servers_options CHECK (jsonb_typeof(options) = 'object');
-- "~" and "~/dir" are relative to the user's home folder on the server.
ALTER TABLE sftp_servers DROP CONSTRAINT sftp_servers_root_path;
ALTER TABLE sftp_servers ADD CONSTRAINT sftp_servers_root_path CHECK (root_path ~ '^[/~]');

-- +goose Down
UPDATE sftp_servers SET root_path = '/' WHERE root_path NOT LIKE '/%';
ALTER TABLE sftp_servers DROP CONSTRAINT sftp_servers_root_path;
ALTER TABLE sftp_servers ADD CONSTRAINT sftp_servers_root_path CHECK (root_path LIKE '/%');
ALTER TABLE sftp_servers DROP COLUMN options;
