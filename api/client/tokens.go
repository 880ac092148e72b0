package client

import (
	"context"
	"iter"

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

// AuditLog returns the entries of the audit log, the latest first, and ends at the first
// error. A positive limit bounds their number.
func (c *API) AuditLog(ctx context.Context, params openapi.ListAuditLogParams, limit int) iter.Seq2[openapi.AuditEntry, error] {
	return items(limit, func(size int, cursor *string) ([]openapi.AuditEntry, *string, error) {
		params.Limit, params.Cursor = &size, cursor
		page, err := read[openapi.AuditPage](c.raw.ListAuditLog(ctx, &params))
		return page.Entries, page.NextCursor, err
	})
}
