package client

import (
	"context"

	"stevedore/api/openapi"
)

// CreateToken creates a token. Its secret is in the result only.
func (c *API) CreateToken(ctx context.Context, request openapi.TokenRequest) (openapi.NewToken, error) {
	return read[openapi.NewToken](c.raw.CreateToken(ctx, request))
}

// ListTokens returns all tokens, revoked tokens included, the latest first.
func (c *API) ListTokens(ctx context.Context) ([]openapi.Token, error) {
	list, err := read[openapi.TokenList](c.raw.ListTokens(ctx))
	return list.Tokens, err
}

// RevokeToken revokes a token.
func (c *API) RevokeToken(ctx context.Context, name string) (openapi.Token, error) {
	return read[openapi.Token](c.raw.RevokeToken(ctx, name))
}
