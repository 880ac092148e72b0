package access

import (
	"context"
	"fmt"
	"slices"
	"time"

	"stevedore/internal/ingest"
)

const (
	// secretPrefix lets users and secret scanners recognize a token.
	secretPrefix = "stv_"
	// maxTokens bounds a list of tokens.
	maxTokens = 1000
	// maxTokenAge refuses an expiry that is practically never, usually a typing error.
	maxTokenAge = 10 * 365 * 24 * time.Hour
)

// reservedNames are actors in the audit log that are no tokens.
var reservedNames = []string{ingest.BootstrapToken, ingest.Unverified, serviceName}

// NewToken describes a token to create.
type NewToken struct {
	Name string
	Role ingest.Role
	// Expires is the lifetime of the token; 0 means until it is revoked.
	Expires time.Duration
}

// CreateToken implements Access.
func (s *Service) CreateToken(ctx context.Context, in NewToken) (token ingest.Token, secret string, err error) {
	if err := in.check(); err != nil {
		return token, "", err
	}
	token = ingest.Token{Name: in.Name, Role: in.Role, CreatedBy: From(ctx).Name}
	details := map[string]any{"role": in.Role}
	if in.Expires > 0 {
		token.ExpiresAt = s.now().Add(in.Expires).UTC().Truncate(time.Second)
		details["expires_at"] = token.ExpiresAt
	}
	secret = secretPrefix + newSecret()
	err = s.trail.Do(ctx, "token.create", in.Name, details, func(string) error {
		token, err = s.ledger.AddToken(ctx, DigestOf(secret), token)
		return err
	})
	if err != nil {
		return token, "", fmt.Errorf("add token %q: %w", in.Name, err)
	}
	return token, secret, nil
}

func (in NewToken) check() error {
	var wrong ingest.FieldErrors
	if !ingest.ValidName(in.Name) {
		wrong.Add("name", "name %q: use 1 to 63 letters, digits, '-', '_' or '.', but not . or ..", ingest.Summary(in.Name))
	} else if slices.Contains(reservedNames, in.Name) {
		wrong.Add("name", "name %q is reserved: use another one", in.Name)
	}
	if _, err := ingest.ParseRole(string(in.Role)); err != nil {
		wrong.Add("role", "%s", err)
	}
	if in.Expires < 0 || in.Expires > maxTokenAge {
		wrong.Add("expires", "expires %s: use more than 0s and at most %d days", in.Expires, int(maxTokenAge.Hours()/24))
	}
	return wrong.Err("cannot create the token")
}

// ListTokens implements Access.
func (s *Service) ListTokens(ctx context.Context) ([]ingest.Token, error) {
	return s.ledger.Tokens(ctx, maxTokens)
}

// RevokeToken implements Access.
func (s *Service) RevokeToken(ctx context.Context, name string) (ingest.Token, error) {
	var token ingest.Token
	err := s.trail.Do(ctx, "token.revoke", name, nil, func(string) (err error) {
		token, err = s.ledger.RevokeToken(ctx, name)
		return err
	})
	if ingest.IsMissingRow(err) {
		return ingest.Token{}, ingest.Wrap(ingest.KindMissing, ingest.ErrNotFound, "no token is called %q: `stevedore token list` shows all", ingest.Summary(name))
	}
	return token, err
}

// Authenticate implements Access.
func (s *Service) Authenticate(ctx context.Context, digest Digest) (ingest.Principal, error) {
	token, valid, err := s.ledger.UseToken(ctx, digest)
	if ingest.IsMissingRow(err) || err == nil && !valid {
		return ingest.Principal{}, ErrRefused
	}
	return ingest.Principal{Name: token.Name, Role: token.Role, TokenID: ingest.TokenID(digest)}, err
}
