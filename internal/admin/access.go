package admin

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/google/uuid"

	"stevedore/internal/ingest"
)

// Access is the record of tokens and of who asked for what.
type Access interface {
	// AddToken records a token by the digest of its secret; a name that is taken
	// is KindConflict.
	AddToken(ctx context.Context, digest [32]byte, token ingest.Token) (ingest.Token, error)
	// UseToken returns the token with the digest and whether it is valid now, or
	// an error of KindMissing.
	UseToken(ctx context.Context, digest [32]byte) (token ingest.Token, valid bool, err error)
	// Tokens returns tokens, revoked ones too, the latest first.
	Tokens(ctx context.Context, limit int) ([]ingest.Token, error)
	// RevokeToken ends the token with the name, or returns KindMissing.
	RevokeToken(ctx context.Context, name string) (ingest.Token, error)
	// Record adds an entry to the audit log.
	Record(ctx context.Context, e ingest.AuditEntry) error
	// AuditLog returns a page, the latest first, from before the id; 0 begins.
	AuditLog(ctx context.Context, beforeID int64, limit int) ([]ingest.AuditEntry, error)
}

type principalKey struct{}

// As returns a context in which the principal asks.
func As(ctx context.Context, p ingest.Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// Who returns the principal that asks; a call that nobody put a name on is
// stevedore's own.
func Who(ctx context.Context) ingest.Principal {
	if p, ok := ctx.Value(principalKey{}).(ingest.Principal); ok {
		return p
	}
	return ingest.Principal{Name: "stevedore", Role: ingest.RoleAdmin}
}

// record writes down who asks for a change. It comes before the change, after
// all that can be checked was: no change goes without an entry, and what failed
// afterwards was at least asked for.
func (a *Admin) record(ctx context.Context, action, target string, details map[string]any) error {
	_, err := a.recordKeyed(ctx, action, target, details)
	return err
}

// recordKeyed is record for changes that name their entry, by its key.
func (a *Admin) recordKeyed(ctx context.Context, action, target string, details map[string]any) (key string, err error) {
	ledger, err := a.d.Ledger(ctx)
	if err != nil {
		return "", err
	}
	who := Who(ctx)
	key = uuid.NewString()
	return key, ledger.Record(ctx, ingest.AuditEntry{
		Key: key, Actor: who.Name, Role: who.Role, Action: action, Target: target, Details: details,
	})
}

const (
	// secretPrefix lets people and scanners of leaks recognize a token.
	secretPrefix = "stv_"
	secretBytes  = 32
	// maxTokens is how many tokens a listing shows.
	maxTokens = 1000
	// maxTokenAge keeps a slip of the finger from meaning for ever.
	maxTokenAge = 10 * 365 * 24 * time.Hour
)

// NewToken is a token to be made.
type NewToken struct {
	Name string
	Role ingest.Role
	// Expires is how long it is valid; 0 is until it is revoked.
	Expires time.Duration
}

// CreateToken makes a token and returns its secret, which is kept nowhere.
func (a *Admin) CreateToken(ctx context.Context, in NewToken) (token ingest.Token, secret string, err error) {
	if err := in.check(); err != nil {
		return token, "", err
	}
	token = ingest.Token{Name: in.Name, Role: in.Role, CreatedBy: Who(ctx).Name}
	details := map[string]any{"role": in.Role}
	if in.Expires > 0 {
		token.ExpiresAt = a.d.Now().Add(in.Expires).UTC().Truncate(time.Second)
		details["expires_at"] = token.ExpiresAt
	}
	ledger, err := a.d.Ledger(ctx)
	if err != nil {
		return token, "", err
	}
	if err := a.record(ctx, "token.create", in.Name, details); err != nil {
		return token, "", err
	}
	random := make([]byte, secretBytes)
	_, _ = rand.Read(random) // never fails, see its documentation
	secret = secretPrefix + base64.RawURLEncoding.EncodeToString(random)
	token, err = ledger.AddToken(ctx, sha256.Sum256([]byte(secret)), token)
	if err != nil {
		return token, "", fmt.Errorf("add token %q: %w", in.Name, err)
	}
	return token, secret, nil
}

func (in NewToken) check() error {
	var wrong fieldErrors
	if !ingest.ValidName(in.Name) || in.Name == ingest.BootstrapToken || in.Name == ingest.Unverified {
		wrong.add("name", "name %q: use 1 to 63 letters, digits, '-', '_' or '.', but not %q", ingest.Summary(in.Name), ingest.BootstrapToken)
	}
	if _, err := ingest.ParseRole(string(in.Role)); err != nil {
		wrong.add("role", "%s", err)
	}
	if in.Expires < 0 || in.Expires > maxTokenAge {
		wrong.add("expires", "expires %s: use more than 0s and at most %d days", in.Expires, int(maxTokenAge.Hours()/24))
	}
	return wrong.err("cannot make the token")
}

// ListTokens returns all tokens, revoked ones too, the latest first.
func (a *Admin) ListTokens(ctx context.Context) ([]ingest.Token, error) {
	ledger, err := a.d.Ledger(ctx)
	if err != nil {
		return nil, err
	}
	return ledger.Tokens(ctx, maxTokens)
}

// RevokeToken ends a token at once; an unknown name is an ErrNotFound.
func (a *Admin) RevokeToken(ctx context.Context, name string) (ingest.Token, error) {
	ledger, err := a.d.Ledger(ctx)
	if err != nil {
		return ingest.Token{}, err
	}
	if err := a.record(ctx, "token.revoke", name, nil); err != nil {
		return ingest.Token{}, err
	}
	token, err := ledger.RevokeToken(ctx, name)
	if absent(err) {
		return ingest.Token{}, notFound("no token is called %q: `stevedore token list` shows all", ingest.Summary(name))
	}
	return token, err
}

// TokenRefused says why a token is not taken. It does not tell which: whoever
// tries tokens should learn nothing.
type TokenRefused struct{}

// Error returns one line.
func (TokenRefused) Error() string {
	return "the bearer token is unknown, expired or revoked: `stevedore token create` makes one"
}

// Authenticate returns whose token the secret is. It is looked up by its
// digest, so that the time it takes tells nothing of its content. One that is
// unknown, expired or revoked is TokenRefused.
func (a *Admin) Authenticate(ctx context.Context, secret string) (ingest.Principal, error) {
	return a.AuthenticateDigest(ctx, sha256.Sum256([]byte(secret)))
}

// AuditPage is one page of the audit log.
type AuditPage struct {
	Entries []ingest.AuditEntry
	// Next is the id to go on before; 0 on the last page.
	Next int64
}

// AuditLog returns who asked for what, the latest first.
func (a *Admin) AuditLog(ctx context.Context, beforeID int64, limit int) (AuditPage, error) {
	ledger, err := a.d.Ledger(ctx)
	if err != nil {
		return AuditPage{}, err
	}
	entries, err := ledger.AuditLog(ctx, beforeID, limit)
	page := AuditPage{Entries: entries}
	if len(entries) == limit {
		page.Next = entries[limit-1].ID
	}
	return page, err
}
