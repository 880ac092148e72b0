-- The number of outstanding reads of one file that a server accepts, as measured.

-- +goose Up
ALTER TABLE sftp_servers ADD COLUMN read_window integer;
ALTER TABLE sftp_servers ADD COLUMN read_window_at timestamptz;
ALTER TABLE sftp_servers ADD CONSTRAINT sftp_servers_read_window
    CHECK ((read_window IS NULL) = (read_window_at IS NULL) AND read_window BETWEEN 1 AND 64);

-- +goose Down
ALTER TABLE sftp_servers DROP COLUMN read_window, DROP COLUMN read_window_at;
