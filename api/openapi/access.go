package openapi

import (
	"cmp"
	"time"

	"stevedore/internal/ingest"
)

// FromToken returns a token as the API shows it at the time, without its secret.
func FromToken(t ingest.Token, now time.Time) Token {
	state := TokenValid
	switch {
	case !t.RevokedAt.IsZero():
		state = TokenRevoked
	case !t.ExpiresAt.IsZero() && !t.ExpiresAt.After(now):
		state = TokenExpired
	}
	return Token{
		Name: t.Name, Role: Role(t.Role), State: state, ExpiresAt: timeOrNull(t.ExpiresAt), RevokedAt: timeOrNull(t.RevokedAt),
		LastUsedAt: timeOrNull(t.LastUsedAt), CreatedAt: t.CreatedAt.UTC(), CreatedBy: t.CreatedBy,
	}
}

// FromNewToken returns a token with its secret, which is shown only once.
func FromNewToken(t ingest.Token, secret string, now time.Time) NewToken {
	shown := FromToken(t, now)
	return NewToken{
		Name: shown.Name, Role: shown.Role, State: shown.State, ExpiresAt: shown.ExpiresAt, RevokedAt: shown.RevokedAt,
		LastUsedAt: shown.LastUsedAt, CreatedAt: shown.CreatedAt, CreatedBy: shown.CreatedBy, Token: secret,
	}
}

// FromAudit returns an entry of the audit log as the API shows it.
func FromAudit(e ingest.AuditEntry) AuditEntry {
	details := e.Details
	if details == nil {
		details = map[string]any{}
	}
	return AuditEntry{
		ID: e.ID, At: e.At.UTC(), Actor: e.Actor, Role: Role(e.Role), Action: e.Action, Target: e.Target, Details: details,
		Outcome: ActionOutcome(cmp.Or(e.Outcome, ingest.ActionUnknown)), Error: orNull(e.Error), Changes: e.Changes(),
	}
}
