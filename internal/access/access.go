package access

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"log/slog"
	"time"

	"stevedore/internal/ingest"
)

// Access is the interface that the API and the console use. Service implements it.
type Access interface {
	Authenticator
	// CreateToken stores a token and returns its secret, which is not stored. The errors
	// are of KindInvalid, around an *ingest.InvalidError, and of KindConflict when the
	// name is taken.
	CreateToken(ctx context.Context, in NewToken) (token ingest.Token, secret string, err error)
	// ListTokens returns at most 1,000 tokens, including revoked ones, the latest first.
	ListTokens(ctx context.Context) ([]ingest.Token, error)
	// RevokeToken revokes the token with the name; an unknown name is ingest.ErrNotFound.
	RevokeToken(ctx context.Context, name string) (ingest.Token, error)
	// OpenSession starts a console session for the token with the digest and returns the
	// value of its cookie, which is not stored.
	OpenSession(ctx context.Context, token Digest) (cookie string, err error)
	// CloseSession ends the session.
	CloseSession(ctx context.Context, cookie string) error
	// AuditLog returns a page of the selected entries, the latest first.
	AuditLog(ctx context.Context, filter ingest.AuditFilter) (ingest.Page[ingest.AuditEntry], error)
}

// Ledger stores tokens and sessions by the digests of their secrets, and the audit log. See
// package store, which implements it, for the methods.
type Ledger interface {
	Recorder
	AddToken(ctx context.Context, digest Digest, token ingest.Token) (ingest.Token, error)
	UseToken(ctx context.Context, digest Digest) (token ingest.Token, valid bool, err error)
	Tokens(ctx context.Context, limit int) ([]ingest.Token, error)
	RevokeToken(ctx context.Context, name string) (ingest.Token, error)
	OpenSession(ctx context.Context, session, token Digest, lasts time.Duration) error
	SessionToken(ctx context.Context, session Digest) (token Digest, err error)
	CloseSession(ctx context.Context, session Digest) error
	AuditLog(ctx context.Context, filter ingest.AuditFilter) ([]ingest.AuditEntry, error)
}

// Service implements Access on a ledger. It is safe for concurrent use.
type Service struct {
	ledger Ledger
	trail  AuditTrail
	now    func() time.Time
}

// New returns a Service on the ledger.
func New(ledger Ledger, log *slog.Logger) *Service {
	return &Service{ledger: ledger, trail: AuditTrail{ledger, log}, now: time.Now}
}

// Digest is the SHA-256 of a secret. Secrets are looked up by their digest, so that the
// duration of a lookup reveals nothing about the secret.
type Digest = [sha256.Size]byte

// DigestOf returns the digest of a token's secret or a session's cookie.
func DigestOf(secret string) Digest { return sha256.Sum256([]byte(secret)) }

// ErrRefused is the error for a token or session that is unknown, expired or revoked. It
// does not say which, so that guessing reveals nothing.
var ErrRefused = errors.New("the bearer token is unknown, expired or revoked: create one with `stevedore token create`")

// secretBytes is the size of secrets: they are too random to be guessed from a digest.
const secretBytes = 32

func newSecret() string {
	random := make([]byte, secretBytes)
	_, _ = rand.Read(random) // never fails, see its documentation
	return base64.RawURLEncoding.EncodeToString(random)
}
