-- How many files stand where, and what happened in which hour, without counting
-- them all whenever somebody asks. Who changes a file appends what changed to
-- file_deltas, so that no two wait for one counter; now and then the rows there
-- are folded into the three tables of totals. Totals and what is not yet folded
-- are together exact in every snapshot.

-- +goose Up
CREATE TABLE file_counts (
    server_uuid uuid NOT NULL,
    status      text NOT NULL,
    -- Below zero while only a part of the changes has been folded.
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

-- Which ids the files have that were first seen in ten minutes: a listing by
-- time goes by id and need not look at others.
CREATE TABLE file_spans (
    span     timestamptz PRIMARY KEY,
    first_id bigint NOT NULL,
    last_id  bigint NOT NULL
);

CREATE TABLE file_deltas (
    server_uuid uuid NOT NULL,
    -- files left from_status and entered to_status; null: they are new, or gone.
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
-- Its rows are short-lived: those that are gone must not be read for long.
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

CREATE FUNCTION count_moved_file() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status = 'completed' THEN
        INSERT INTO file_deltas (server_uuid, from_status, to_status, files, hour, completed, bytes)
        VALUES (NEW.server_uuid, OLD.status, NEW.status, 1,
            date_trunc('hour', coalesce(NEW.completed_at, now()), 'UTC'), 1, NEW.size_bytes);
    ELSE
        INSERT INTO file_deltas (server_uuid, from_status, to_status, files) VALUES (NEW.server_uuid, OLD.status, NEW.status, 1);
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION count_removed_file() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO file_deltas (server_uuid, from_status, files) VALUES (OLD.server_uuid, OLD.status, 1);
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
-- By row: the condition costs nothing where the status stays, as it does
-- whenever a listing sees a file again.
CREATE TRIGGER files_counted_moved AFTER UPDATE ON files
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status)
    EXECUTE FUNCTION count_moved_file();
CREATE TRIGGER files_counted_removed AFTER DELETE ON files
    FOR EACH ROW EXECUTE FUNCTION count_removed_file();
CREATE TRIGGER file_events_counted AFTER INSERT ON file_events
    FOR EACH ROW WHEN (NEW.event_type = 'error')
    EXECUTE FUNCTION count_failure();

-- The triggers lock out writers until this transaction ends: nothing is missed.
INSERT INTO file_counts (server_uuid, status, files)
SELECT server_uuid, status, count(*) FROM files GROUP BY server_uuid, status;

INSERT INTO file_hours (hour, server_uuid, completed, bytes, failures)
SELECT date_trunc('hour', at, 'UTC'), server_uuid, sum(completed), sum(bytes), sum(failures)
FROM (
    SELECT completed_at AS at, server_uuid, 1 AS completed, size_bytes AS bytes, 0 AS failures
    FROM files WHERE status = 'completed' AND completed_at >= now() - interval '31 days'
    UNION ALL
    SELECT e.timestamp, f.server_uuid, 0, 0, 1
    FROM file_events e JOIN files f ON f.id = e.file_id
    WHERE e.event_type = 'error' AND e.timestamp >= now() - interval '31 days'
) happened
GROUP BY 1, 2;

INSERT INTO file_spans (span, first_id, last_id)
SELECT date_bin('10 minutes', created_at, 'epoch'), min(id), max(id) FROM files GROUP BY 1;

-- +goose Down
DROP TRIGGER file_events_counted ON file_events;
DROP TRIGGER files_counted_removed ON files;
DROP TRIGGER files_counted_moved ON files;
DROP TRIGGER files_counted_new ON files;
DROP FUNCTION count_failure();
DROP FUNCTION count_removed_file();
DROP FUNCTION count_moved_file();
DROP FUNCTION count_new_files();
DROP TABLE file_deltas;
DROP TABLE file_spans;
DROP TABLE file_hours;
DROP TABLE file_counts;
