package api

import (
	"context"
	"time"

	"stevedore/api/openapi"
	"stevedore/internal/access"
	"stevedore/internal/ingest"
)

// ListTokens returns all tokens without their secrets.
func (h handlers) ListTokens(ctx context.Context, _ openapi.ListTokensRequestObject) (openapi.ListTokensResponseObject, error) {
	tokens, err := h.Access.ListTokens(ctx)
	now := time.Now()
	return openapi.ListTokens200JSONResponse{
		Tokens: openapi.List(tokens, func(t ingest.Token) openapi.Token { return openapi.FromToken(t, now) }),
	}, err
}

// CreateToken creates a token and returns its secret, only this once.
func (h handlers) CreateToken(ctx context.Context, req openapi.CreateTokenRequestObject) (openapi.CreateTokenResponseObject, error) {
	in := access.NewToken{Name: req.Body.Name, Role: ingest.Role(req.Body.Role)}
	if days := req.Body.ExpiresInDays; days != nil {
		in.Expires = time.Duration(*days) * 24 * time.Hour
	}
	if seconds := req.Body.ExpiresInSeconds; seconds != nil {
		if d := time.Duration(*seconds) * time.Second; in.Expires == 0 || d < in.Expires {
			in.Expires = d
		}
	}
	token, secret, err := h.Access.CreateToken(ctx, in)
	return openapi.CreateToken201JSONResponse(openapi.FromNewToken(token, secret, time.Now())), err
}

// RevokeToken revokes a token.
func (h handlers) RevokeToken(ctx context.Context, req openapi.RevokeTokenRequestObject) (openapi.RevokeTokenResponseObject, error) {
	token, err := h.Access.RevokeToken(ctx, req.Name)
	return openapi.RevokeToken200JSONResponse(openapi.FromToken(token, time.Now())), err
}

// ListAuditLog returns a page of the audit log.
func (h handlers) ListAuditLog(ctx context.Context, req openapi.ListAuditLogRequestObject) (openapi.ListAuditLogResponseObject, error) {
	q := req.Params
	entries, next, err := readPage(ctx, cursorAuditLog, q.Cursor, q.Limit, openapi.FromAudit,
		func(ctx context.Context, before int64, limit int) (ingest.Page[ingest.AuditEntry], error) {
			return h.Access.AuditLog(ctx, ingest.AuditFilter{
				Actor: orZero(q.Actor), Action: orZero(q.Action), Target: orZero(q.Target), From: orZero(q.From), To: orZero(q.To),
				BeforeID: before, Limit: limit,
			})
		})
	return openapi.ListAuditLog200JSONResponse{Entries: entries, NextCursor: next}, err
}

// orZero returns the value of an optional parameter, or its zero value.
func orZero[T any](value *T) (zero T) {
	if value == nil {
		return zero
	}
	return *value
}
