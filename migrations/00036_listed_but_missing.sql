-- A version that listings show again and again, although a STAT finds no such file.

-- +goose Up
INSERT INTO file_status_transitions (from_status, to_status) VALUES ('vanished', 'error');

-- +goose Down
DELETE FROM file_status_transitions WHERE from_status = 'vanished' AND to_status = 'error';
