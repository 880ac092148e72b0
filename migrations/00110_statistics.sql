-- The number of files in each status and the events of each hour, without counting all files.
-- Writers append their changes to file_deltas, so that none waits for another's counter;
-- periodically the rows are folded into three tables of totals. Totals and unfolded rows
-- together are exact in every snapshot.

-- +goose Up
CREATE TABLE file_counts (
    server_uuid uuid NOT NULL,
    status      text NOT NULL,
    -- Negative while only some of the changes are folded.
    files       bigint NOT NULL,
    PRIMARY KEY (server_uuid, status)
);

-- Kept for 31 days.
CREATE TABLE file_hours (
    hour        timestamptz NOT NULL,
    server_uuid uuid NOT NULL,
    completed   bigint NOT NULL,
    bytes       bigint NOT NULL,
    failures    bigint NOT NULL,
    PRIMARY KEY (hour, server_uuid)
);

-- The range of ids of the files first seen within ten minutes: a list by time reads a range of
-- ids.
CREATE TABLE file_spans (
    span     timestamptz PRIMARY KEY,
    first_id bigint NOT NULL,
    last_id  bigint NOT NULL
);

CREATE TABLE file_deltas (
    server_uuid uuid NOT NULL,
    -- files changed from from_status to to_status; null: created or removed.
    from_status text,
    to_status   text,
    files       bigint NOT NULL DEFAULT 0,
    hour        timestamptz,
    completed   bigint NOT NULL DEFAULT 0,
    bytes       bigint NOT NULL DEFAULT 0,
    failures    bigint NOT NULL DEFAULT 0,
    span        timestamptz,
    first_id    bigint,
    last_id     bigint
-- Rows are short-lived, so dead ones must be vacuumed early.
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

-- +goose StatementBegin
CREATE FUNCTION count_new_files() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO file_deltas (server_uuid, to_status, files, hour, completed, bytes, span, first_id, last_id)
    SELECT server_uuid, status, count(*), hour, count(hour), coalesce(sum(size_bytes) FILTER (WHERE hour IS NOT NULL), 0),
        span, min(id), max(id)
    FROM (
        SELECT id, server_uuid, status, size_bytes, date_bin('10 minutes', created_at, 'epoch') AS span,
            CASE WHEN status = 'completed' THEN date_trunc('hour', coalesce(completed_at, now()), 'UTC') END AS hour
        FROM fresh
    ) f
    GROUP BY server_uuid, status, hour, span;
    RETURN NULL;
END
$$;

CREATE FUNCTION count_moved_files() RETURNS trigger LANGUAGE plpgsql SET enable_nestloop = off AS $$
BEGIN
    INSERT INTO file_deltas (server_uuid, from_status, to_status, files, hour, completed, bytes)
    SELECT server_uuid, was, status, count(*), hour, count(hour), coalesce(sum(size_bytes) FILTER (WHERE hour IS NOT NULL), 0)
    FROM (
        SELECT n.server_uuid, o.status AS was, n.status, n.size_bytes,
            CASE WHEN n.status = 'completed' THEN date_trunc('hour', coalesce(n.completed_at, now()), 'UTC') END AS hour
        FROM old_files o JOIN new_files n ON n.id = o.id
        WHERE o.status <> n.status
    ) f
    GROUP BY server_uuid, was, status, hour;
    RETURN NULL;
END
$$;

CREATE FUNCTION count_removed_files() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO file_deltas (server_uuid, from_status, files)
    SELECT server_uuid, status, count(*) FROM old_files GROUP BY server_uuid, status;
    RETURN NULL;
END
$$;

CREATE FUNCTION count_failure() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO file_deltas (server_uuid, hour, failures)
    SELECT server_uuid, date_trunc('hour', NEW.timestamp, 'UTC'), 1 FROM files WHERE id = NEW.file_id;
    RETURN NULL;
END
$$;
-- +goose StatementEnd

CREATE TRIGGER files_counted_new AFTER INSERT ON files REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION count_new_files();
CREATE TRIGGER files_counted_moved AFTER UPDATE ON files REFERENCING OLD TABLE AS old_files NEW TABLE AS new_files
    FOR EACH STATEMENT EXECUTE FUNCTION count_moved_files();
CREATE TRIGGER files_counted_removed AFTER DELETE ON files REFERENCING OLD TABLE AS old_files
    FOR EACH STATEMENT EXECUTE FUNCTION count_removed_files();
-- Per row: the condition costs nothing for events other than failures.
CREATE TRIGGER file_events_counted AFTER INSERT ON file_events
    FOR EACH ROW WHEN (NEW.event_type = 'error')
    EXECUTE FUNCTION count_failure();

-- +goose Down
DROP TRIGGER file_events_counted ON file_events;
DROP TRIGGER files_counted_removed ON files;
DROP TRIGGER files_counted_moved ON files;
DROP TRIGGER files_counted_new ON files;
DROP FUNCTION count_failure();
DROP FUNCTION count_removed_files();
DROP FUNCTION count_moved_files();
DROP FUNCTION count_new_files();
DROP TABLE file_deltas;
DROP TABLE file_spans;
DROP TABLE file_hours;
DROP TABLE file_counts;
