package access

import (
	"context"
	"time"

	"stevedore/internal/ingest"
)

// SessionDuration is the lifetime of a console session: a working day.
const SessionDuration = 12 * time.Hour

// OpenSession implements Access.
func (s *Service) OpenSession(ctx context.Context, token Digest) (cookie string, err error) {
	cookie = newSecret()
	err = s.trail.Do(ctx, "console.log_in", From(ctx).Name, nil, func(string) error {
		return s.ledger.OpenSession(ctx, DigestOf(cookie), token, SessionDuration)
	})
	return cookie, err
}

// SessionToken implements Access.
func (s *Service) SessionToken(ctx context.Context, cookie string) (token Digest, err error) {
	token, err = s.ledger.SessionToken(ctx, DigestOf(cookie))
	if ingest.IsMissingRow(err) {
		err = ErrRefused
	}
	return token, err
}

// CloseSession implements Access.
func (s *Service) CloseSession(ctx context.Context, cookie string) error {
	return s.ledger.CloseSession(ctx, DigestOf(cookie))
}
