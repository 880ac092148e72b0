-- +goose Up
-- A value sealed by the keyset of this installation. A keyset that cannot open it belongs to
-- another installation and must not seal anything here.
CREATE TABLE keyset_canary (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    sealed bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- +goose Down
DROP TABLE keyset_canary;
