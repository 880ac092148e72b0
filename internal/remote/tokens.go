package remote

import (
	"context"
	"time"

	"stevedore/api/oas"
	"stevedore/internal/admin"
	"stevedore/internal/ingest"
)

// CreateToken makes a token and returns its secret. It is valid for whole
// seconds, rounded up.
func (c *Client) CreateToken(ctx context.Context, in admin.NewToken) (ingest.Token, string, error) {
	body := oas.TokenRequest{Name: in.Name, Role: oas.Role(in.Role)}
	if in.Expires > 0 {
		seconds := int64((in.Expires + time.Second - 1) / time.Second)
		body.ExpiresInSeconds = &seconds
	}
	made, err := reply[oas.NewToken]{c}.of(c.api.CreateToken(ctx, body))
	if err != nil {
		return ingest.Token{}, "", err
	}
	return toToken(oas.Token{
		Name: made.Name, Role: made.Role, State: made.State, ExpiresAt: made.ExpiresAt, RevokedAt: made.RevokedAt,
		LastUsedAt: made.LastUsedAt, CreatedAt: made.CreatedAt, CreatedBy: made.CreatedBy,
	}), made.Token, nil
}

// ListTokens returns all tokens, revoked ones too, the latest first.
func (c *Client) ListTokens(ctx context.Context) ([]ingest.Token, error) {
	list, err := reply[oas.TokenList]{c}.of(c.api.ListTokens(ctx))
	if err != nil {
		return nil, err
	}
	var tokens []ingest.Token
	for _, token := range list.Tokens {
		tokens = append(tokens, toToken(token))
	}
	return tokens, nil
}

// RevokeToken ends a token at once.
func (c *Client) RevokeToken(ctx context.Context, name string) (ingest.Token, error) {
	token, err := reply[oas.Token]{c}.of(c.api.RevokeToken(ctx, name))
	return toToken(token), err
}
