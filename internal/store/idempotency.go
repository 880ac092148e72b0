package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

const (
	expireAnswers = `DELETE FROM api_answers WHERE begun_at < now() - interval '24 hours'`

	// An unfinished request belongs to a process that died, so it starts again.
	beginAnswer = `
INSERT INTO api_answers AS a (principal, idempotency_key, request_digest) VALUES ($1, $2, $3)
ON CONFLICT (principal, idempotency_key) DO UPDATE SET begun_at = now(), request_digest = excluded.request_digest
WHERE a.status IS NULL AND a.begun_at < now() - interval '2 minutes'
RETURNING true`

	readAnswer = `
SELECT request_digest, coalesce(status, 0), headers, body FROM api_answers WHERE principal = $1 AND idempotency_key = $2`
)

// BeginAnswer records that a request with the key is in progress and reports true. If the key
// is already recorded, it reports false and returns the recorded state. Keys expire after 24
// hours.
func (s *Store) BeginAnswer(ctx context.Context, key ingest.AnswerKey, digest []byte) (known ingest.Answer, begun bool, err error) {
	err = s.inTx(ctx, "record a request", func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, expireAnswers); err != nil {
			return err
		}
		err := tx.QueryRow(ctx, beginAnswer, key.Principal, cleanText(key.Key), digest).Scan(&begun)
		if !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		begun = false
		return tx.QueryRow(ctx, readAnswer, key.Principal, cleanText(key.Key)).
			Scan(&known.RequestDigest, &known.Status, &known.Headers, &known.Body)
	})
	return known, begun, err
}

const (
	storeAnswer = `
UPDATE api_answers SET status = $3, headers = $4, body = $5 WHERE principal = $1 AND idempotency_key = $2 AND status IS NULL`
	deleteAnswer = `DELETE FROM api_answers WHERE principal = $1 AND idempotency_key = $2 AND status IS NULL`
)

// KeepAnswer stores the response to a request. Status 0 deletes the record, so that the request
// may be retried.
func (s *Store) KeepAnswer(ctx context.Context, key ingest.AnswerKey, answer ingest.Answer) error {
	return s.retry(ctx, "store a response", func() error {
		if answer.Status == 0 {
			_, err := s.pool.Exec(ctx, deleteAnswer, key.Principal, cleanText(key.Key))
			return err
		}
		_, err := s.pool.Exec(ctx, storeAnswer, key.Principal, cleanText(key.Key), answer.Status, answer.Headers, nonNil(answer.Body))
		return err
	})
}
