package sftp

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"stevedore/internal/ingest"
)

// The methods of authentication, as SSH names them.
const (
	methodNone        = "none"
	methodKey         = "publickey"
	methodPassword    = "password"
	methodInteractive = "keyboard-interactive"
)

// login holds one server's credentials.
type login struct {
	server   ingest.Server
	keys     []keyOffer
	password string
	// budget may be nil.
	budget PasswordBudget
}

func newLogin(server ingest.Server, creds ingest.Credentials, budget PasswordBudget) (login, error) {
	l := login{server: server, password: string(creds.Password), budget: budget}
	if len(creds.PrivateKey) == 0 {
		return l, nil
	}
	var err error
	if l.keys, err = keyOffers(creds.PrivateKey, server.LegacyAlgorithms); err != nil {
		// The parser's own words are left out: they may quote the key.
		return login{}, ingest.Errorf(ingest.KindAuth, "server %s: %s", server.Name, err)
	}
	return l, nil
}

// loginAttempt is one log-in under way. It offers each credential once: servers
// lock accounts by counting refusals. Its methods run on the goroutine that
// connects.
type loginAttempt struct {
	login
	ctx context.Context
	// broken reports whether the connection has failed.
	broken func() bool

	// sent says that the password left, and id is its reservation.
	sent bool
	id   int64
	// refused says that the server has answered the password by a refusal.
	refused bool
	// offered are the types of the keys that the server was asked about.
	offered []string
	// tried is how many of login.keys were tried, asked how many questions were
	// answered.
	tried, asked int
	// state is that of the last call of next.
	state ssh.ClientAuthContext
	// untried says that something was left to try when the connection failed.
	untried bool
	// factor is the question for a second factor, if there was one.
	factor string
	// failed ends the log-in for a reason of our own.
	failed error
	// banner is what the server shows before a log-in, cut.
	banner string
	// banners and bannerBytes count what the server shows before a log-in.
	banners, bannerBytes int
}

func (l login) begin(ctx context.Context, broken func() bool) *loginAttempt {
	return &loginAttempt{login: l, ctx: ctx, broken: broken}
}

// next fits ssh.ClientConfig.AuthCallback: it is called after each method, the
// first time after a log-in without any credentials. When nothing is left it
// returns no method, and x/crypto returns the error of the last one, if any: so
// the caller can tell a refusal from a broken connection.
func (a *loginAttempt) next(state *ssh.ClientAuthContext) (ssh.AuthMethod, error) {
	a.state = *state
	if a.failed != nil {
		return nil, a.failed
	}
	method := a.choose()
	if method != nil && a.broken() {
		// Whatever failed last, it is not known what the server would have said to
		// the rest, and a password must not go into a dead connection.
		a.untried = true
		return nil, nil
	}
	return method, nil
}

// choose returns what to try next, nil for nothing.
func (a *loginAttempt) choose() ssh.AuthMethod {
	passed := a.state.PartialSuccessMethods
	if !slices.Contains(passed, methodKey) && a.allowed(methodKey) {
		if method := a.nextKey(); method != nil {
			return method
		}
	}
	done := append(slices.Clone(a.state.TriedMethods), passed...)
	switch {
	case a.password == "" || slices.Contains(done, methodPassword) || slices.Contains(done, methodInteractive):
		return nil
	case a.allowed(methodPassword):
		return ssh.PasswordCallback(func() (string, error) {
			if err := a.reserve(); err != nil {
				return "", err
			}
			return a.password, nil
		})
	case a.allowed(methodInteractive):
		return ssh.KeyboardInteractive((&questions{attempt: a}).answer)
	}
	return nil
}

func (a *loginAttempt) allowed(method string) bool {
	return slices.Contains(a.state.AllowedMethods, method)
}

// nextKey returns the next form in which to offer the key. A form that only
// serves servers that take none of the earlier ones is left out once the server
// was asked about the key. All in all the server is asked at most four times, because
// many end the connection after six refusals, the password's included.
func (a *loginAttempt) nextKey() ssh.AuthMethod {
	for a.tried < len(a.keys) {
		offer := a.keys[a.tried]
		a.tried++
		if offer.fallback && len(a.offered) > 0 {
			continue
		}
		return ssh.PublicKeys(offer.signers(func(algorithm string) { a.offered = append(a.offered, algorithm) })...)
	}
	return nil
}

// reserve must succeed before the password is sent.
func (a *loginAttempt) reserve() error {
	if a.sent {
		return errors.New("the password was sent already")
	}
	if a.budget != nil {
		id, err := a.budget.ReservePassword(a.ctx, a.server)
		if err != nil {
			a.failed = err
			return err
		}
		a.id = id
	}
	a.sent = true
	return nil
}

// settleTimeout bounds recording what became of a password.
const settleTimeout = 20 * time.Second

// settle records what became of the password, or of the key when no password was
// sent after it. The error is why
// it could not be recorded.
func (a *loginAttempt) settle(fate ingest.PasswordFate) error {
	if a.budget == nil || !a.sent && len(a.offered) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(a.ctx), settleTimeout)
	defer cancel()
	if !a.sent {
		if a.failed != nil || slices.Contains(a.state.PartialSuccessMethods, methodKey) {
			return nil // the key was not what ended the log-in
		}
		return a.budget.SettleKey(ctx, a.server, fate)
	}
	return a.budget.SettlePassword(ctx, a.server, a.id, fate)
}

// fate returns what became of the credentials of an attempt that ended with err.
func (a *loginAttempt) fate(err error) ingest.PasswordFate {
	passed := slices.Contains(a.state.PartialSuccessMethods, methodPassword) || slices.Contains(a.state.PartialSuccessMethods, methodInteractive)
	switch {
	case err == nil, passed, a.expired(err), a.factor != "" && !a.refused:
		return ingest.PasswordAccepted
	case a.refused, a.refusal(err):
		return ingest.PasswordRefused
	case a.ctx != nil && a.ctx.Err() != nil:
		return ingest.PasswordAbandoned
	default:
		return ingest.PasswordUnanswered
	}
}

// noMethodLeft is how x/crypto says that the last method was refused, and
// nothing else went wrong.
const noMethodLeft = "unable to authenticate, attempted methods"

// failureMessage is in its error when a server refuses keyboard-interactive
// without a question.
const failureMessage = "unexpected message type 51"

// refusal reports whether err, with which the log-in ended, is the server's
// refusal of what it was offered. A broken connection is none, in whatever phase.
func (a *loginAttempt) refusal(err error) bool {
	text := err.Error()
	switch {
	case a.refused, a.factor != "", a.expired(err):
		return true
	case a.failed != nil, a.untried:
		return false
	case strings.Contains(text, noMethodLeft), strings.Contains(text, failureMessage):
		return true
	case !disconnected(err), ownReason(text):
		return false
	default:
		// After a password every word of farewell is a refusal, unless it names another
		// reason. Before it only those that speak of the log-in are.
		return a.sent || refusalWords(text)
	}
}

// gaveUp reports whether the log-in was ended on our side, by what the server said
// and not by the line.
func (a *loginAttempt) gaveUp(err error) bool {
	text := err.Error()
	return a.failed != nil || a.refused || a.factor != "" || strings.Contains(text, noMethodLeft) ||
		strings.Contains(text, "unexpected message type") || strings.Contains(text, "parse error in message type")
}

// changeRequest is in x/crypto's error when a server takes the password and asks for a
// new one (SSH_MSG_USERAUTH_PASSWD_CHANGEREQ).
const changeRequest = "unexpected message type 60"

// expired reports whether the server wants the password changed.
func (a *loginAttempt) expired(err error) bool {
	return a.sent && a.asked == 0 && err != nil && strings.Contains(err.Error(), changeRequest)
}

// disconnected reports whether the server has ended the connection by an
// SSH_MSG_DISCONNECT. x/crypto does not export its error.
func disconnected(err error) bool { return strings.Contains(err.Error(), "ssh: disconnect, reason ") }

// refusalWords reports whether the text of a disconnect is about the log-in:
// reasons 14 and 15 are "no more methods" and "illegal user name".
func refusalWords(text string) bool {
	text = strings.ToLower(text)
	for _, words := range []string{"reason 14:", "reason 15:", "authentication fail", "auth fail", "permission denied", "access denied"} {
		if strings.Contains(text, words) {
			return true
		}
	}
	return false
}

// maxBanner bounds how much of a server's banner is kept, maxBanners how many of them
// and maxBannerBytes how much a log-in may bring.
const (
	maxBanner      = 200
	maxBanners     = 1000
	maxBannerBytes = 1 << 20
)

// showBanner fits ssh.ClientConfig.BannerCallback.
func (a *loginAttempt) showBanner(text string) error {
	a.banners++
	if a.bannerBytes += len(text); a.banners > maxBanners || a.bannerBytes > maxBannerBytes {
		a.failed = ingest.Errorf(ingest.KindServer, "server %s sends banners without end during log-in: ask the partner to stop that", a.server.Name)
		return a.failed
	}
	if len(a.banner) < maxBanner {
		a.banner += text[:min(len(text), maxBanner-len(a.banner))]
	}
	return nil
}
