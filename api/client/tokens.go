package client

import (
	"context"

	"stevedore/api/oas"
)

// CreateToken creates a token. Its secret is in the result only.
func (c *API) CreateToken(ctx context.Context, request oas.TokenRequest) (oas.NewToken, error) {
	return reply[oas.NewToken]{c}.of(c.raw.CreateToken(ctx, request))
}

// ListTokens returns all tokens, revoked tokens included, the latest first.
func (c *API) ListTokens(ctx context.Context) ([]oas.Token, error) {
	list, err := reply[oas.TokenList]{c}.of(c.raw.ListTokens(ctx))
	return list.Tokens, err
}

// RevokeToken revokes a token.
func (c *API) RevokeToken(ctx context.Context, name string) (oas.Token, error) {
	return reply[oas.Token]{c}.of(c.raw.RevokeToken(ctx, name))
}
