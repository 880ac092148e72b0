-- Events of files. They are appended, never changed or removed.

-- +goose Up
CREATE TABLE file_events (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    file_id    bigint NOT NULL REFERENCES files (id) ON DELETE RESTRICT,
    timestamp  timestamptz NOT NULL DEFAULT now(),
    event_type text NOT NULL,
    details    jsonb NOT NULL DEFAULT '{}',
    round      integer NOT NULL DEFAULT 0,
    fact_key   text NOT NULL DEFAULT '',
    -- A retried step records the same fact again: it is written once. The index also finds the
    -- events of a file, and a fact in any round.
    CONSTRAINT file_events_fact UNIQUE (file_id, event_type, fact_key, round),
    CONSTRAINT file_events_type CHECK (event_type <> ''),
    CONSTRAINT file_events_details CHECK (jsonb_typeof(details) = 'object')
);

-- Per statement, so that it rejects before a row is touched, and covers TRUNCATE.
CREATE TRIGGER file_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON file_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- +goose Down
DROP TABLE file_events;
