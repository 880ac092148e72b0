-- +goose Up
-- A value that the keyset of this installation has sealed. A keyset that does not
-- open it belongs to another one: it must not seal anything here.
CREATE TABLE keyset_canary (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    sealed bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- +goose Down
DROP TABLE keyset_canary;
