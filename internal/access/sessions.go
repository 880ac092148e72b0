package access

import (
	"context"
	"time"
)

// SessionDuration is the lifetime of a console session: a working day.
const SessionDuration = 12 * time.Hour

// OpenSession implements Sessions.
func (s *Service) OpenSession(ctx context.Context, token Digest) (cookie string, err error) {
	ledger, err := s.ledger(ctx)
	if err != nil {
		return "", err
	}
	cookie = newSecret()
	if _, err := Record(ctx, ledger, "console.log_in", From(ctx).Name, nil); err != nil {
		return "", err
	}
	return cookie, ledger.OpenSession(ctx, DigestOf(cookie), token, SessionDuration)
}

// SessionToken implements Sessions.
func (s *Service) SessionToken(ctx context.Context, cookie string) (token Digest, err error) {
	ledger, err := s.ledger(ctx)
	if err != nil {
		return token, err
	}
	token, err = ledger.SessionToken(ctx, DigestOf(cookie))
	if isMissing(err) {
		err = ErrRefused
	}
	return token, err
}

// CloseSession implements Sessions.
func (s *Service) CloseSession(ctx context.Context, cookie string) error {
	ledger, err := s.ledger(ctx)
	if err != nil {
		return err
	}
	return ledger.CloseSession(ctx, DigestOf(cookie))
}
