package sftp

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"stevedore/internal/ingest"
)

// The names of SSH authentication methods.
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
		// The message is from keyfile, whose errors never quote the key.
		return login{}, ingest.Errorf(ingest.KindAuth, "server %s: %s", server.Name, err)
	}
	return l, nil
}

// loginAttempt is the state of one login. It offers each credential once, because
// servers lock accounts by counting refusals. Its methods run on the connecting
// goroutine.
type loginAttempt struct {
	login
	ctx context.Context //nolint:containedctx // the callbacks of ssh have none
	// connFailed reports whether the connection has failed.
	connFailed func() bool

	// passwordSent is set before the password is sent; reservation is its id in the budget.
	passwordSent bool
	reservation  int64
	// passwordRefused is set if keyboard-interactive asks for the password again.
	passwordRefused bool
	// offeredKeys are the types of the offered keys.
	offeredKeys []string
	// triedKeys counts the tried entries of login.keys, answeredPrompts the answered
	// prompts.
	triedKeys, answeredPrompts int
	// state is the state of the last call of next.
	state ssh.ClientAuthContext
	// interrupted is set if the connection failed while methods were left.
	interrupted bool
	// newPassword is set if keyboard-interactive asks for a new password.
	newPassword bool
	// factorPrompt is the prompt for a second factor, if any.
	factorPrompt string
	// err is the client-side reason to end the login.
	err error
	// banner is the beginning of the server's banners.
	banner string
	// banners and bannerBytes count the server's banners.
	banners, bannerBytes int
}

func (l login) newAttempt(ctx context.Context, connFailed func() bool) *loginAttempt {
	return &loginAttempt{login: l, ctx: ctx, connFailed: connFailed}
}

// next implements ssh.ClientConfig.AuthCallback. It is called after each method, first
// after "none". If no method is left it returns nil. x/crypto then returns the error of
// the last method, which isRefusal examines to distinguish a refusal from a broken
// connection.
func (a *loginAttempt) next(state *ssh.ClientAuthContext) (ssh.AuthMethod, error) {
	a.state = *state
	if a.err != nil {
		return nil, a.err
	}
	method := a.nextMethod()
	if method != nil && a.connFailed() {
		// The reply to the remaining methods is unknown, and a password must not be sent
		// into a failed connection.
		a.interrupted = true
		return nil, nil
	}
	return method, nil
}

// nextMethod returns the next method to try, nil if none is left.
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

// nextKey returns the next form in which to offer the key. Fallback forms are skipped if
// a key was offered before. A login offers at most four keys, because many servers
// close the connection after six refusals, including the password's.
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
		return errors.New("the password was already sent")
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

// recordTimeout bounds the ledger update by recordResult.
const recordTimeout = 20 * time.Second

// recordResult records the result of the password, or of the key if no password was sent after
// it. A login that the caller ended counts for the password, whose refusal may be delayed,
// but not for the key, which locks no account.
func (a *loginAttempt) recordResult(result ingest.LoginResult) error {
	if a.budget == nil || !a.passwordSent && len(a.offeredKeys) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(a.ctx), recordTimeout)
	defer cancel()
	if !a.passwordSent {
		abandoned := result == ingest.LoginUnanswered && a.ctx.Err() != nil
		if abandoned || a.err != nil || slices.Contains(a.state.PartialSuccessMethods, methodKey) {
			return nil // the key did not end the login
		}
		return a.budget.RecordKeyResult(ctx, a.server, result)
	}
	return a.budget.RecordPasswordResult(ctx, a.server, a.reservation, result)
}

// result returns the result for the credentials of an attempt that ended with err.
func (a *loginAttempt) result(err error) ingest.LoginResult {
	passed := slices.Contains(a.state.PartialSuccessMethods, methodPassword) || slices.Contains(a.state.PartialSuccessMethods, methodInteractive)
	switch {
	case err == nil, passed, a.passwordExpired(err), a.factorPrompt != "" && !a.passwordRefused:
		return ingest.LoginAccepted
	case a.passwordRefused, a.isRefusal(err):
		return ingest.LoginRefused
	default:
		return ingest.LoginUnanswered
	}
}

// noMethodLeftText is in x/crypto's error if the last method was refused without another
// failure.
const noMethodLeftText = "unable to authenticate, attempted methods"

// failureText is in x/crypto's error if a server refuses keyboard-interactive without a
// prompt.
const failureText = "unexpected message type 51"

// isRefusal reports whether err, the error of the login, is the server's refusal of the
// credentials. A broken connection never is.
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
		// After the password any SSH_MSG_DISCONNECT is a refusal, unless it names another
		// reason. Before the password, only a message that mentions the login is one.
		return a.passwordSent || mentionsLogin(text)
	}
}

// endedByClient reports whether the client ended the login because of the server's
// replies, not of a broken connection.
func (a *loginAttempt) endedByClient(err error) bool {
	text := err.Error()
	return a.err != nil || a.passwordRefused || a.newPassword || a.factorPrompt != "" || strings.Contains(text, noMethodLeftText) ||
		strings.Contains(text, "unexpected message type") || strings.Contains(text, "parse error in message type")
}

// changeRequestText is in x/crypto's error if a server accepts the password and requires
// a new one (SSH_MSG_USERAUTH_PASSWD_CHANGEREQ).
const changeRequestText = "unexpected message type 60"

// passwordExpired reports whether the server requires a new password.
func (a *loginAttempt) passwordExpired(err error) bool {
	return a.newPassword || a.passwordSent && a.answeredPrompts == 0 && err != nil && strings.Contains(err.Error(), changeRequestText)
}

// disconnectText is in x/crypto's error for SSH_MSG_DISCONNECT, which is not exported.
const disconnectText = "ssh: disconnect, reason "

// disconnected reports whether the server ended the connection with SSH_MSG_DISCONNECT.
func disconnected(err error) bool { return strings.Contains(err.Error(), disconnectText) }

// mentionsLogin reports whether the text of a disconnect is about the login. Reasons 14
// and 15 are "no more auth methods available" and "illegal user name" (RFC 4253).
func mentionsLogin(text string) bool {
	text = strings.ToLower(text)
	for _, phrase := range []string{"reason 14:", "reason 15:", "authentication fail", "auth fail", "permission denied", "access denied"} {
		if strings.Contains(text, phrase) {
			return true
		}
	}
	return false
}

// maxBanner bounds the kept bytes of banners; maxBanners and maxBannerBytes bound the
// banners of a login.
const (
	maxBanner      = 200
	maxBanners     = 1000
	maxBannerBytes = 1 << 20
)

// addBanner implements ssh.BannerCallback.
func (a *loginAttempt) addBanner(text string) error {
	a.banners++
	if a.bannerBytes += len(text); a.banners > maxBanners || a.bannerBytes > maxBannerBytes {
		a.err = ingest.Errorf(ingest.KindServer, "server %s sends endless banners during login: ask the partner to fix it", a.server.Name)
		return a.err
	}
	if text = a.hide(text); len(a.banner) < maxBanner {
		a.banner += text[:min(len(text), maxBanner-len(a.banner))]
	}
	return nil
}

const (
	// minHidden is the length of the shortest password that hide replaces: shorter ones are
	// parts of words.
	minHidden = 4
	// hiddenPassword replaces a password.
	hiddenPassword = "***"
)

// hide replaces the password in a server's text. Some servers quote it in their messages,
// which are stored, logged and shown.
func (l login) hide(text string) string {
	if len(l.password) < minHidden {
		return text
	}
	escaped := strconv.Quote(l.password) // as x/crypto escapes messages
	return strings.NewReplacer(l.password, hiddenPassword, escaped[1:len(escaped)-1], hiddenPassword).Replace(text)
}

// hideIn returns err, of which only SSH_MSG_DISCONNECT has a text of the server, without the
// password.
func (l login) hideIn(err error) error {
	before, text, found := strings.Cut(err.Error(), disconnectText)
	if hidden := l.hide(text); found && hidden != text {
		return errors.New(before + disconnectText + hidden)
	}
	return err
}
