package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

const (
	forgetOldAnswers = `DELETE FROM api_answers WHERE begun_at < now() - interval '24 hours'`

	// One that never ended belonged to a process that died: it is begun anew.
	beginAnswer = `
INSERT INTO api_answers AS a (principal, idempotency_key, request_digest) VALUES ($1, $2, $3)
ON CONFLICT (principal, idempotency_key) DO UPDATE SET begun_at = now(), request_digest = excluded.request_digest
WHERE a.status IS NULL AND a.begun_at < now() - interval '2 minutes'
RETURNING true`

	readAnswer = `
SELECT request_digest, coalesce(status, 0), headers, body FROM api_answers WHERE principal = $1 AND idempotency_key = $2`
)

// BeginAnswer notes that a request with the key is under way and returns true;
// if one was before, it returns false and what is known of it. Keys are
// forgotten after 24 hours.
func (s *Store) BeginAnswer(ctx context.Context, key ingest.AnswerKey, digest []byte) (known ingest.Answer, begun bool, err error) {
	err = s.inTx(ctx, "note a request", func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, forgetOldAnswers); err != nil {
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
	keepAnswer = `
UPDATE api_answers SET status = $3, headers = $4, body = $5 WHERE principal = $1 AND idempotency_key = $2 AND status IS NULL`
	dropAnswer = `DELETE FROM api_answers WHERE principal = $1 AND idempotency_key = $2 AND status IS NULL`
)

// KeepAnswer stores what a request was answered. Status 0 forgets the request,
// so that it may be tried again.
func (s *Store) KeepAnswer(ctx context.Context, key ingest.AnswerKey, answer ingest.Answer) error {
	return s.retry(ctx, "keep an answer", func() error {
		if answer.Status == 0 {
			_, err := s.pool.Exec(ctx, dropAnswer, key.Principal, cleanText(key.Key))
			return err
		}
		_, err := s.pool.Exec(ctx, keepAnswer, key.Principal, cleanText(key.Key), answer.Status, answer.Headers, nonNil(answer.Body))
		return err
	})
}
