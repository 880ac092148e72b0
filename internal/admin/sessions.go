package admin

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"time"

	"stevedore/internal/ingest"
)

// Sessions is the record of who is logged in to the console.
type Sessions interface {
	// OpenSession records a session for a token, both by their digests.
	OpenSession(ctx context.Context, session, token [32]byte, lasts time.Duration) error
	// SessionToken returns the token's digest, or KindMissing.
	SessionToken(ctx context.Context, session [32]byte) (token [32]byte, err error)
	// CloseSession ends a session.
	CloseSession(ctx context.Context, session [32]byte) error
}

// SessionLasts is how long a person stays logged in to the console: a working
// day.
const SessionLasts = 12 * time.Hour

// OpenSession begins a console session for the token with the digest and
// returns the cookie's value, which is kept nowhere.
func (a *Admin) OpenSession(ctx context.Context, token [32]byte) (cookie string, err error) {
	ledger, err := a.d.Ledger(ctx)
	if err != nil {
		return "", err
	}
	random := make([]byte, secretBytes)
	_, _ = rand.Read(random) // never fails, see its documentation
	cookie = base64.RawURLEncoding.EncodeToString(random)
	if err := a.record(ctx, "console.log_in", Who(ctx).Name, nil); err != nil {
		return "", err
	}
	return cookie, ledger.OpenSession(ctx, sha256.Sum256([]byte(cookie)), token, SessionLasts)
}

// SessionToken returns the digest of the token that a cookie stands for. One
// that is unknown or has ended is TokenRefused.
func (a *Admin) SessionToken(ctx context.Context, cookie string) (token [32]byte, err error) {
	ledger, err := a.d.Ledger(ctx)
	if err != nil {
		return token, err
	}
	token, err = ledger.SessionToken(ctx, sha256.Sum256([]byte(cookie)))
	if absent(err) {
		err = TokenRefused{}
	}
	return token, err
}

// CloseSession logs out.
func (a *Admin) CloseSession(ctx context.Context, cookie string) error {
	ledger, err := a.d.Ledger(ctx)
	if err != nil {
		return err
	}
	return ledger.CloseSession(ctx, sha256.Sum256([]byte(cookie)))
}

// AuthenticateDigest returns whose token has the digest; see Authenticate.
func (a *Admin) AuthenticateDigest(ctx context.Context, digest [32]byte) (ingest.Principal, error) {
	ledger, err := a.d.Ledger(ctx)
	if err != nil {
		return ingest.Principal{}, err
	}
	token, valid, err := ledger.UseToken(ctx, digest)
	if absent(err) || err == nil && !valid {
		return ingest.Principal{}, TokenRefused{}
	}
	return ingest.Principal{Name: token.Name, Role: token.Role, TokenID: ingest.TokenID(digest)}, err
}
