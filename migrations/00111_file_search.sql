-- Finds files by the prefix of their path or name. The table is separate because its rows
-- never change, whereas a row of files is updated about six times, and most updates add an
-- entry to every index. Index entries are limited in size, so only a prefix is stored.

-- +goose Up
CREATE TABLE file_names (
    file_id bigint NOT NULL,
    path    text COLLATE "C" NOT NULL,
    name    text COLLATE "C" NOT NULL
);

CREATE INDEX file_names_by_path ON file_names (path, file_id);
CREATE INDEX file_names_by_name ON file_names (name, file_id);

-- +goose StatementBegin
CREATE FUNCTION name_new_files() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO file_names (file_id, path, name)
    SELECT id, left(remote_path, 200), left(filename, 200) FROM fresh;
    RETURN NULL;
END
$$;
-- +goose StatementEnd

CREATE TRIGGER files_named AFTER INSERT ON files REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION name_new_files();

-- +goose Down
DROP TRIGGER files_named ON files;
DROP FUNCTION name_new_files();
DROP TABLE file_names;
