package access

import (
	"cmp"
	"context"
	"crypto/subtle"
	"errors"
	"time"

	"stevedore/internal/ingest"
)

// Authenticator looks up tokens and sessions. Access contains it.
type Authenticator interface {
	// Authenticate returns the principal of the token with the digest, or ErrRefused.
	Authenticate(ctx context.Context, digest Digest) (ingest.Principal, error)
	// SessionToken returns the digest of the token of the console session with the cookie, or
	// ErrRefused when there is no such session or it has expired.
	SessionToken(ctx context.Context, cookie string) (token Digest, err error)
}

// GuardConfig configures a Guard.
type GuardConfig struct {
	Access Authenticator
	// Token is the bootstrap admin's; without it there is no bootstrap admin.
	Token string
	// TokenName names the bootstrap admin in the audit log; default ingest.BootstrapToken.
	TokenName string
	// RequestsPerSecond bounds the requests of one principal; default 100, with bursts of
	// three seconds' worth.
	RequestsPerSecond float64
	// TrustFor is the time after a token's last successful check in which it is accepted
	// while the ledger cannot be read; default 0. Requests during an outage require it.
	TrustFor time.Duration
	// Now is the clock of the rate limits and of TrustFor; default time.Now.
	Now func() time.Time
}

// Guard checks tokens and sessions, and limits the rates of requests and of wrong tokens.
// The API and the console share one. It is safe for concurrent use.
type Guard struct {
	access        Authenticator
	hasBootstrap  bool
	bootstrap     Digest
	bootstrapName string
	limits        *limits
	lookups       *lookups
	trustFor      time.Duration
}

// NewGuard returns a Guard.
func NewGuard(cfg GuardConfig) *Guard {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Guard{
		access: cfg.Access, hasBootstrap: cfg.Token != "", bootstrap: DigestOf(cfg.Token),
		bootstrapName: cmp.Or(cfg.TokenName, ingest.BootstrapToken),
		limits:        newLimits(cfg.RequestsPerSecond, cfg.Now), lookups: newLookups(cfg.Now), trustFor: cfg.TrustFor,
	}
}

// Token returns the principal of the token. A valid token is accepted from every address:
// many clients may share one. An address that sent too many wrong tokens gets a
// *TooManyError, otherwise a wrong token is ErrRefused.
func (g *Guard) Token(ctx context.Context, address, secret string) (p ingest.Principal, err error) {
	digest := DigestOf(secret)
	if g.isBootstrap(digest) {
		return g.bootstrapPrincipal(), nil
	}
	leave, err := g.lookups.enter(ctx, digest)
	if err != nil {
		return p, err
	}
	p, err = g.access.Authenticate(ctx, digest)
	leave(p, err)
	switch {
	case err == nil:
	case errors.Is(err, ErrRefused):
		if tooMany := g.limits.failed(address); tooMany != nil {
			return p, tooMany
		}
	default:
		if trusted, ok := g.lookups.validWithin(digest, g.trustFor); ok {
			return trusted, nil
		}
	}
	return p, err
}

// Session returns the principal of the console session with the cookie, or ErrRefused.
func (g *Guard) Session(ctx context.Context, cookie string) (p ingest.Principal, err error) {
	leave, err := g.lookups.enter(ctx, DigestOf("session "+cookie)) // no token's digest
	if err != nil {
		return p, err
	}
	defer func() { leave(p, err) }()
	digest, err := g.access.SessionToken(ctx, cookie)
	if err != nil {
		return ingest.Principal{}, err
	}
	if g.isBootstrap(digest) {
		return g.bootstrapPrincipal(), nil
	}
	return g.access.Authenticate(ctx, digest)
}

// CountRequest counts a request of the principal and returns a *TooManyError over the limit.
func (g *Guard) CountRequest(principal string) error { return g.limits.take(principal) }

// OpenStream counts a stream of the principal until closed is called; ok is false when the
// principal has MaxStreams.
func (g *Guard) OpenStream(principal string) (closed func(), ok bool) {
	return g.limits.openStream(principal)
}

// isBootstrap compares digests, so that the duration reveals neither content nor length.
func (g *Guard) isBootstrap(digest Digest) bool {
	return g.hasBootstrap && subtle.ConstantTimeCompare(digest[:], g.bootstrap[:]) == 1
}

func (g *Guard) bootstrapPrincipal() ingest.Principal {
	return ingest.Principal{Name: g.bootstrapName, Role: ingest.RoleAdmin, TokenID: ingest.TokenID(g.bootstrap)}
}
