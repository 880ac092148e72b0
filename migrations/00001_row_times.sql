-- created_at and updated_at belong to the database: a client cannot backdate a
-- row's birth by an update, nor forget to say that it changed one.

-- +goose Up
-- +goose StatementBegin
CREATE FUNCTION set_row_times() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.created_at := OLD.created_at;
    NEW.updated_at := now();
    RETURN NEW;
END
$$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION set_row_times();
