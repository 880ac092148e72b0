-- The state machine of a file, so that the database rejects forbidden transitions by any
-- client. It equals the table in internal/ingest; a test compares them. Keeping a status is
-- always allowed.

-- +goose Up
CREATE TABLE file_status_transitions (
    from_status text NOT NULL,
    to_status   text NOT NULL,
    PRIMARY KEY (from_status, to_status),
    CONSTRAINT file_status_transitions_differ CHECK (from_status <> to_status)
);

INSERT INTO file_status_transitions (from_status, to_status) VALUES
    ('discovered',  'ready'),
    ('discovered',  'error'),
    ('discovered',  'skipped'),
    ('discovered',  'vanished'),
    ('discovered',  'superseded'),
    ('ready',       'downloading'),
    ('ready',       'error'),
    ('ready',       'skipped'),
    ('ready',       'vanished'),
    ('ready',       'superseded'),
    ('downloading', 'downloaded'),
    ('downloading', 'uploaded'),
    ('downloading', 'ready'),
    ('downloading', 'error'),
    ('downloading', 'skipped'),
    ('downloading', 'vanished'),
    ('downloading', 'superseded'),
    ('downloaded',  'verified'),
    ('downloaded',  'downloading'),
    ('downloaded',  'ready'),
    ('downloaded',  'error'),
    ('downloaded',  'skipped'),
    ('verified',    'uploading'),
    ('verified',    'downloading'),
    ('verified',    'ready'),
    ('verified',    'error'),
    ('verified',    'skipped'),
    ('uploading',   'uploaded'),
    ('uploading',   'downloading'),
    ('uploading',   'ready'),
    ('uploading',   'error'),
    ('uploading',   'skipped'),
    ('uploaded',    'completed'),
    ('uploaded',    'error'),
    ('uploaded',    'skipped'),
    -- A completed file whose object is lost can be ingested again.
    ('completed',   'ready'),
    ('error',       'ready'),
    ('error',       'downloading'),
    ('error',       'downloaded'),
    ('error',       'verified'),
    ('error',       'uploading'),
    ('error',       'uploaded'),
    ('error',       'skipped'),
    ('error',       'vanished'),
    ('error',       'superseded'),
    ('vanished',    'discovered'),
    -- Listings show the version again and again, although a STAT finds no such file.
    ('vanished',    'error'),
    ('superseded',  'discovered'),
    -- The version changed repeatedly while it was read.
    ('superseded',  'error');

-- +goose Down
DROP TABLE file_status_transitions;
