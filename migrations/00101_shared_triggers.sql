-- Trigger functions that several tables use.

-- +goose Up
-- The database maintains created_at and updated_at, so that no client can backdate a row or
-- omit an update. Only a BEFORE ROW trigger can replace the values of a statement.
-- +goose StatementBegin
CREATE FUNCTION set_row_times() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.created_at := OLD.created_at;
    NEW.updated_at := now();
    RETURN NEW;
END
$$;

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME,
              HINT = 'record a further event instead';
END
$$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION refuse_change();
DROP FUNCTION set_row_times();
