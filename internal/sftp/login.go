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
	connFailed func() bool

	// sent says that the password left, and id is its reservation.
	passwordSent bool
	reservation  int64
	// refused says that the server has answered the password by a refusal.
	passwordRefused bool
	// offered are the types of the keys that the server was asked about.
	offeredKeys []string
	// tried is how many of login.keys were tried, asked how many questions were
	// answered.
	triedKeys, answeredPrompts int
	// state is that of the last call of next.
	state ssh.ClientAuthContext
	// untried says that something was left to try when the connection failed.
	interrupted bool
	// factor is the question for a second factor, if there was one.
	factorPrompt string
	// failed ends the log-in for a reason of our own.
	err error
	// banner is what the server shows before a log-in, cut.
	banner string
	// banners and bannerBytes count what the server shows before a log-in.
	banners, bannerBytes int
}

func (l login) newAttempt(ctx context.Context, connFailed func() bool) *loginAttempt {
	return &loginAttempt{login: l, ctx: ctx, connFailed: connFailed}
}

// next fits ssh.ClientConfig.AuthCallback: it is called after each method, the
// first time after a log-in without any credentials. When nothing is left it
// returns no method, and x/crypto returns the error of the last one, if any: so
// the caller can tell a refusal from a broken connection.
func (a *loginAttempt) next(state *ssh.ClientAuthContext) (ssh.AuthMethod, error) {
	a.state = *state
	if a.err != nil {
		return nil, a.err
	}
	method := a.nextMethod()
	if method != nil && a.connFailed() {
		// Whatever failed last, it is not known what the server would have said to
		// the rest, and a password must not go into a dead connection.
		a.interrupted = true
		return nil, nil
	}
	return method, nil
}

// choose returns what to try next, nil for nothing.
func (a *loginAttempt) nextMethod() ssh.AuthMethod {
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
		return ssh.KeyboardInteractive((&interactiveLogin{attempt: a}).answer)
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
	for a.triedKeys < len(a.keys) {
		offer := a.keys[a.triedKeys]
		a.triedKeys++
		if offer.fallback && len(a.offeredKeys) > 0 {
			continue
		}
		return ssh.PublicKeys(offer.signers(func(algorithm string) { a.offeredKeys = append(a.offeredKeys, algorithm) })...)
	}
	return nil
}

// reserve must succeed before the password is sent.
func (a *loginAttempt) reserve() error {
	if a.passwordSent {
		return errors.New("the password was sent already")
	}
	if a.budget != nil {
		id, err := a.budget.ReservePassword(a.ctx, a.server)
		if err != nil {
			a.err = err
			return err
		}
		a.reservation = id
	}
	a.passwordSent = true
	return nil
}

// settleTimeout bounds recording what became of a password.
const settleTimeout = 20 * time.Second

// settle records what became of the password, or of the key when no password was
// sent after it. The error is why
// it could not be recorded.
func (a *loginAttempt) settle(fate ingest.PasswordFate) error {
	if a.budget == nil || !a.passwordSent && len(a.offeredKeys) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(a.ctx), settleTimeout)
	defer cancel()
	if !a.passwordSent {
		if a.err != nil || slices.Contains(a.state.PartialSuccessMethods, methodKey) {
			return nil // the key was not what ended the log-in
		}
		return a.budget.SettleKey(ctx, a.server, fate)
	}
	return a.budget.SettlePassword(ctx, a.server, a.reservation, fate)
}

// fate returns what became of the credentials of an attempt that ended with err.
func (a *loginAttempt) fate(err error) ingest.PasswordFate {
	passed := slices.Contains(a.state.PartialSuccessMethods, methodPassword) || slices.Contains(a.state.PartialSuccessMethods, methodInteractive)
	switch {
	case err == nil, passed, a.passwordExpired(err), a.factorPrompt != "" && !a.passwordRefused:
		return ingest.PasswordAccepted
	case a.passwordRefused, a.isRefusal(err):
		return ingest.PasswordRefused
	case a.ctx != nil && a.ctx.Err() != nil:
		return ingest.PasswordAbandoned
	default:
		return ingest.PasswordUnanswered
	}
}

// noMethodLeft is how x/crypto says that the last method was refused, and
// nothing else went wrong.
const noMethodLeftText = "unable to authenticate, attempted methods"

// failureMessage is in its error when a server refuses keyboard-interactive
// without a question.
const failureText = "unexpected message type 51"

// refusal reports whether err, with which the log-in ended, is the server's
// refusal of what it was offered. A broken connection is none, in whatever phase.
func (a *loginAttempt) isRefusal(err error) bool {
	text := err.Error()
	switch {
	case a.passwordRefused, a.factorPrompt != "", a.passwordExpired(err):
		return true
	case a.err != nil, a.interrupted:
		return false
	case strings.Contains(text, noMethodLeftText), strings.Contains(text, failureText):
		return true
	case !disconnected(err), isUnavailable(text):
		return false
	default:
		// After a password every word of farewell is a refusal, unless it names another
		// reason. Before it only those that speak of the log-in are.
		return a.passwordSent || mentionsLogin(text)
	}
}

// gaveUp reports whether the log-in was ended on our side, by what the server said
// and not by the line.
func (a *loginAttempt) endedByClient(err error) bool {
	text := err.Error()
	return a.err != nil || a.passwordRefused || a.factorPrompt != "" || strings.Contains(text, noMethodLeftText) ||
		strings.Contains(text, "unexpected message type") || strings.Contains(text, "parse error in message type")
}

// changeRequest is in x/crypto's error when a server takes the password and asks for a
// new one (SSH_MSG_USERAUTH_PASSWD_CHANGEREQ).
const changeRequestText = "unexpected message type 60"

// expired reports whether the server wants the password changed.
func (a *loginAttempt) passwordExpired(err error) bool {
	return a.passwordSent && a.answeredPrompts == 0 && err != nil && strings.Contains(err.Error(), changeRequestText)
}

// disconnected reports whether the server has ended the connection by an
// SSH_MSG_DISCONNECT. x/crypto does not export its error.
func disconnected(err error) bool { return strings.Contains(err.Error(), "ssh: disconnect, reason ") }

// refusalWords reports whether the text of a disconnect is about the log-in:
// reasons 14 and 15 are "no more methods" and "illegal user name".
func mentionsLogin(text string) bool {
	text = strings.ToLower(text)
	for _, phrase := range []string{"reason 14:", "reason 15:", "authentication fail", "auth fail", "permission denied", "access denied"} {
		if strings.Contains(text, phrase) {
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
func (a *loginAttempt) addBanner(text string) error {
	a.banners++
	if a.bannerBytes += len(text); a.banners > maxBanners || a.bannerBytes > maxBannerBytes {
		a.err = ingest.Errorf(ingest.KindServer, "server %s sends banners without end during log-in: ask the partner to stop that", a.server.Name)
		return a.err
	}
	if len(a.banner) < maxBanner {
		a.banner += text[:min(len(text), maxBanner-len(a.banner))]
	}
	return nil
}
