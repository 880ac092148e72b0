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
	Tokens
	Sessions
	// AuditLog returns a page of the selected entries, the latest first.
	AuditLog(ctx context.Context, filter ingest.AuditFilter) (ingest.Page[ingest.AuditEntry], error)
}

// Tokens manages the tokens of the API.
type Tokens interface {
	// CreateToken stores a token and returns its secret, which is not stored. The errors
	// are of KindInvalid, around an *ingest.InvalidError, and of KindConflict when the
	// name is taken.
	CreateToken(ctx context.Context, in NewToken) (token ingest.Token, secret string, err error)
	// ListTokens returns at most 1,000 tokens, including revoked ones, the latest first.
	ListTokens(ctx context.Context) ([]ingest.Token, error)
	// RevokeToken revokes the token with the name; an unknown name is ingest.ErrNotFound.
	RevokeToken(ctx context.Context, name string) (ingest.Token, error)
	// Authenticate returns the principal of the token with the digest, or ErrRefused.
	Authenticate(ctx context.Context, digest Digest) (ingest.Principal, error)
}

// Sessions manages the console's sessions.
type Sessions interface {
	// OpenSession starts a session for the token with the digest and returns the value
	// of its cookie, which is not stored.
	OpenSession(ctx context.Context, token Digest) (cookie string, err error)
	// SessionToken returns the digest of the session's token, or ErrRefused when there is
	// no such session or it has expired.
	SessionToken(ctx context.Context, cookie string) (token Digest, err error)
	// CloseSession ends the session.
	CloseSession(ctx context.Context, cookie string) error
}

// Ledger stores tokens, sessions and the audit log.
type Ledger interface {
	Recorder
	// AddToken stores a token under the digest of its secret; a name that is taken is
	// KindConflict.
	AddToken(ctx context.Context, digest Digest, token ingest.Token) (ingest.Token, error)
	// UseToken returns the token with the digest and reports whether it is valid now; an
	// unknown digest is KindMissing.
	UseToken(ctx context.Context, digest Digest) (token ingest.Token, valid bool, err error)
	// Tokens returns tokens, including revoked ones, the latest first.
	Tokens(ctx context.Context, limit int) ([]ingest.Token, error)
	// RevokeToken revokes the token with the name, or returns KindMissing.
	RevokeToken(ctx context.Context, name string) (ingest.Token, error)
	// OpenSession stores a session for a token, both by their digests.
	OpenSession(ctx context.Context, session, token Digest, lasts time.Duration) error
	// SessionToken returns the digest of the session's token, or KindMissing.
	SessionToken(ctx context.Context, session Digest) (token Digest, err error)
	// CloseSession ends a session.
	CloseSession(ctx context.Context, session Digest) error
	// AuditLog returns the selected entries, the latest first.
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
