package access

import (
	"context"

	"stevedore/internal/ingest"
)

// serviceName names stevedore itself in the audit log.
const serviceName = "stevedore"

type principalKey struct{}

// As returns a context whose principal is p.
func As(ctx context.Context, p ingest.Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// From returns the context's principal; without one it is stevedore itself, an admin.
func From(ctx context.Context) ingest.Principal {
	if p, ok := ctx.Value(principalKey{}).(ingest.Principal); ok {
		return p
	}
	return ingest.Principal{Name: serviceName, Role: ingest.RoleAdmin}
}
