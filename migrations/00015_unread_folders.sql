-- Unread folders: {"count": n, "folders": [{"path", "reason"}]}, of a scan and, from the latest
-- completed scan, of the server.

-- +goose Up
ALTER TABLE scans ADD COLUMN unread jsonb NOT NULL DEFAULT '{}';
ALTER TABLE scans ADD CONSTRAINT scans_unread CHECK (jsonb_typeof(unread) = 'object');
-- Consecutive attempts that left the row open because their worker died.
ALTER TABLE scans ADD COLUMN died integer NOT NULL DEFAULT 0;
ALTER TABLE sftp_servers ADD COLUMN unread jsonb NOT NULL DEFAULT '{}';
ALTER TABLE sftp_servers ADD CONSTRAINT sftp_servers_unread CHECK (jsonb_typeof(unread) = 'object');

-- +goose Down
ALTER TABLE sftp_servers DROP COLUMN unread;
ALTER TABLE scans DROP COLUMN died;
ALTER TABLE scans DROP COLUMN unread;
