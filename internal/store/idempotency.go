package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

const (
	expireRequests = `DELETE FROM api_requests WHERE begun_at < now() - interval '24 hours'`

	// A request that is unfinished for longer than the longest one runs belongs to a process that
	// died, so it starts again.
	beginRequest = `
INSERT INTO api_requests AS a (principal, idempotency_key, request_digest) VALUES ($1, $2, $3)
ON CONFLICT (principal, idempotency_key) DO UPDATE SET begun_at = now(), request_digest = excluded.request_digest
WHERE a.response IS NULL AND a.begun_at < now() - interval '6 minutes'
RETURNING true`

	readRequest = `
SELECT request_digest, response FROM api_requests WHERE principal = $1 AND idempotency_key = $2`
)

// BeginRequest records that a request with the key is in progress and reports true. If the key
// is already recorded, it reports false and returns the recorded state. Keys expire after 24
// hours.
func (s *Store) BeginRequest(ctx context.Context, key ingest.RequestKey, digest []byte) (first ingest.FirstRequest, begun bool, err error) {
	err = s.inTx(ctx, "record a request", func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, expireRequests); err != nil {
			return err
		}
		err := tx.QueryRow(ctx, beginRequest, key.Principal, cleanText(key.Key), digest).Scan(&begun)
		if !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		begun = false
		return tx.QueryRow(ctx, readRequest, key.Principal, cleanText(key.Key)).
			Scan(&first.Digest, &first.Response)
	})
	return first, begun, err
}

const (
	storeResponse = `UPDATE api_requests SET response = $3 WHERE principal = $1 AND idempotency_key = $2 AND response IS NULL`
	deleteRequest = `DELETE FROM api_requests WHERE principal = $1 AND idempotency_key = $2 AND response IS NULL`
)

// EndRequest stores the response to a request. Nil deletes the record, so that the request may
// be retried.
func (s *Store) EndRequest(ctx context.Context, key ingest.RequestKey, response []byte) error {
	return s.retry(ctx, "store a response", func() error {
		if response == nil {
			_, err := s.pool.Exec(ctx, deleteRequest, key.Principal, cleanText(key.Key))
			return err
		}
		_, err := s.pool.Exec(ctx, storeResponse, key.Principal, cleanText(key.Key), response)
		return err
	})
}
