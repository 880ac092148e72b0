package sftp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/crypto/ssh"

	"stevedore/internal/ingest"
)

// connectError is a failure of the TCP connection. address is the dialed address: the
// proxy's if there is one.
type connectError struct {
	address string
	err     error
}

func (e *connectError) Error() string { return e.err.Error() }
func (e *connectError) Unwrap() error { return e.err }

// handshakeError is a failure between the TCP connection and the open SFTP channel.
type handshakeError struct {
	greeting string
	// timedOut reports whether HandshakeTimeout ended the connection.
	timedOut bool
	// flooded reports whether the server continued to send after the login failed.
	flooded bool
	login   *loginAttempt
	err     error
}

func (e *handshakeError) Error() string { return e.err.Error() }
func (e *handshakeError) Unwrap() error { return e.err }

// noSFTPError is a failure to open the SFTP channel after a successful login.
type noSFTPError struct{ err error }

func (e *noSFTPError) Error() string { return e.err.Error() }
func (e *noSFTPError) Unwrap() error { return e.err }

// canceled returns the error of an attempt whose caller has left.
func (d *dialer) canceled(ctx context.Context) error {
	return ingest.Wrap(ingest.KindTransient, context.Cause(ctx), "server %s: connecting to %s was canceled%s", d.server.Name, d.address(), endReason(ctx))
}

// explain turns err into an ingest.Error with the cause and the required action.
func (d *dialer) explain(ctx context.Context, err error) error {
	var (
		known     *ingest.Error
		hostKey   *hostKeyError
		noSFTP    *noSFTPError
		algorithm *ssh.AlgorithmNegotiationError
		handshake *handshakeError
		connect   *connectError
		name, to  = d.server.Name, d.address()
	)
	switch {
	case ctx.Err() != nil:
		return d.canceled(ctx)
	case errors.As(err, &known):
		return known
	case errors.As(err, &hostKey):
		return ingest.Errorf(ingest.KindHostKey, "%s", hostKey.message)
	case errors.As(err, &algorithm):
		return noCommonAlgorithm(d.server, to, algorithm)
	case errors.As(err, &noSFTP):
		return d.explainNoSFTP(noSFTP.err, errors.As(err, &handshake) && handshake.timedOut)
	case errors.As(err, &handshake):
		return d.explainHandshake(handshake)
	case errors.As(err, &connect):
		return d.explainConnect(connect)
	default:
		return ingest.Wrap(ingest.KindTransient, err, "server %s: cannot connect to %s: %s", name, to, ingest.Summary(err.Error()))
	}
}

// endReason returns the cause of the end of ctx, if it has one.
func endReason(ctx context.Context) string {
	cause := context.Cause(ctx)
	if errors.Is(cause, context.Canceled) || errors.Is(cause, context.DeadlineExceeded) {
		return ""
	}
	return ": " + ingest.Summary(cause.Error())
}

// explainConnect returns the error of a failed TCP connection.
func (d *dialer) explainConnect(e *connectError) error {
	var (
		dns      *net.DNSError
		name, to = d.server.Name, e.address
	)
	failure := func(format string, args ...any) error {
		return ingest.Wrap(ingest.KindTransient, e, "server %s: cannot connect to %s: %s", name, to, fmt.Sprintf(format, args...))
	}
	switch {
	case errors.As(e.err, &dns) && dns.IsTimeout:
		return failure("the name servers do not reply; check this machine's DNS")
	case errors.As(e.err, &dns) && dns.IsNotFound:
		return failure("the name %s is not found or has no address; check the spelling and this machine's DNS", ingest.Summary(dns.Name))
	case errors.As(e.err, &dns):
		return failure("the name %s cannot be resolved (%s)", ingest.Summary(dns.Name), ingest.Summary(dns.Err))
	case errors.Is(e.err, syscall.ECONNREFUSED):
		return failure("connection refused: no server listens on this port, or a firewall blocks it; check host and port")
	case errors.Is(e.err, syscall.EHOSTUNREACH), errors.Is(e.err, syscall.ENETUNREACH):
		return failure("no route to host; check this machine's network and firewall")
	case errors.Is(e.err, syscall.ECONNRESET):
		return failure("connection reset: a firewall blocks it, or the server is restarting")
	case isTimeout(e.err):
		return failure("no reply within %s: a firewall drops the packets, or the address is wrong; check host and port, or raise --connect-timeout", d.cfg.ConnectTimeout)
	default:
		return failure("%s", ingest.Summary(e.err.Error()))
	}
}

func (d *dialer) explainHandshake(e *handshakeError) error {
	name, to := d.server.Name, d.address()
	timeout := e.timedOut || isTimeout(e.err)
	spoke := strings.HasPrefix(e.greeting, "SSH-")
	switch {
	case spoke && !timeout && e.login != nil && e.login.isRefusal(e.err):
		return d.explainRefusal(e.login, e.err)
	case e.flooded:
		// This is not retried automatically: each login of this kind leaks memory, see
		// meteredConn.readerStopped.
		return ingest.Wrap(ingest.KindServer, e.err, "server %s: %s sends endless packets during login: ask the partner to fix it, then run `stevedore server test %s`", name, to, name)
	case disconnected(e.err) && isUnavailable(e.err.Error()):
		return ingest.Wrap(ingest.KindTransient, &limitError{e.err}, "server %s: %s ended the connection during login with %s: it is at its limit or unavailable; close other clients of the account, or set --max-connections",
			name, to, quoted(disconnectMessage(e.err)))
	case disconnected(e.err):
		return ingest.Errorf(ingest.KindTransient, "server %s: %s ended the connection during login with %s", name, to, quoted(disconnectMessage(e.err)))
	case spoke && timeout:
		return ingest.Wrap(ingest.KindTransient, e.err,
			"server %s: %s stopped replying during the handshake (%s); if the login is slow, raise --login-timeout", name, to, d.cfg.HandshakeTimeout)
	case spoke:
		return ingest.Wrap(ingest.KindTransient, e.err, "server %s: the handshake with %s failed%s: %s", name, to, loginPhase(e.login), ingest.Summary(e.err.Error()))
	case strings.TrimSpace(e.greeting) != "":
		return ingest.Errorf(ingest.KindTransient, "server %s: %s is not an SSH server, it sent %s: check host and port", name, to, quoted(e.greeting))
	case timeout:
		return ingest.Wrap(ingest.KindTransient, e.err, "server %s: %s accepts connections but sent nothing for %s: check that it is an SSH server, or raise --login-timeout", name, to, d.cfg.HandshakeTimeout)
	default:
		return ingest.Wrap(ingest.KindTransient, e.err, "server %s: %s closed the connection immediately: it is overloaded, blocks this address, or is not an SSH server", name, to)
	}
}

// loginPhase returns the step of the login at which a connection broke.
func loginPhase(a *loginAttempt) string {
	switch {
	case a == nil:
		return ""
	case a.passwordSent:
		return " after the password was sent"
	case len(a.offeredKeys) > 0:
		return " after the key was offered"
	}
	return ""
}

// quoted returns a server's text as one escaped line in quotes, without quotes inside.
func quoted(text string) string {
	text = strings.Trim(strings.Join(strings.Fields(text), " "), `"' `)
	return `"` + ingest.Summary(strings.ReplaceAll(text, `"`, "'")) + `"`
}

// disconnectMessage returns the text of the server's SSH_MSG_DISCONNECT.
func disconnectMessage(err error) string {
	_, text, _ := strings.Cut(err.Error(), disconnectText)
	_, text, _ = strings.Cut(text, ": ")
	if plain, err := strconv.Unquote(text); err == nil { // x/crypto quotes it
		return plain
	}
	return text
}

// explainRefusal returns the error of a refused login: what was refused, and the
// methods that the server accepts.
func (d *dialer) explainRefusal(a *loginAttempt, err error) error {
	name, user := d.server.Name, d.server.Username
	banner := ""
	if text := strings.Join(strings.Fields(a.banner), " "); text != "" {
		banner = "; banner: " + quoted(text)
	}
	refusal := func(format string, args ...any) error {
		return ingest.Errorf(ingest.KindAuth, "server %s refused the credentials of user %q: %s%s", name, user, fmt.Sprintf(format, args...), banner)
	}
	check := fmt.Sprintf("check them with the partner, correct them, then run `stevedore server test %s`", name)
	passed, allowed := a.state.PartialSuccessMethods, a.state.AllowedMethods
	switch {
	case a.factorPrompt != "":
		return ingest.Errorf(ingest.KindAuth, "server %s asks user %q for a second factor (%s), which stevedore does not support: ask the partner for an account with only a password or key%s", name, user, quoted(a.factorPrompt), banner)
	case a.passwordExpired(err):
		return ingest.Errorf(ingest.KindAuth, "server %s requires user %q to change the expired password: agree on a new one with the partner and set it (`stevedore server edit %s --password-file FILE`)%s", name, user, name, banner)
	case disconnected(err) && strings.Contains(strings.ToLower(err.Error()), "too many authentication"):
		return refusal("too many attempts in one connection (%s); %s", quoted(disconnectMessage(err)), check)
	case disconnected(err):
		return refusal("it ended the connection with %s; %s", quoted(disconnectMessage(err)), check)
	case len(passed) > 0:
		return ingest.Errorf(ingest.KindAuth, "server %s accepted %s of user %q but requires a second factor (it accepts %s): add the missing password or key, or ask the partner for an account without it%s",
			name, strings.Join(passed, ", "), user, shortList(allowed), banner)
	case len(a.keys) > 0 && len(a.offeredKeys) == 0 && slices.Contains(allowed, methodKey):
		return ingest.Errorf(ingest.KindAuth, "server %s was not offered the key of user %q, because it accepts none of the key's signature types; create an ed25519 key%s", name, user, legacyAdvice(d.server))
	}
	return refusal("refused %s (it accepts %s); %s%s", refusedMethods(a), shortList(allowed), check, sha1Advice(a))
}

// refusedMethods lists the refused methods.
func refusedMethods(a *loginAttempt) string {
	var all []string
	for _, method := range a.state.TriedMethods {
		switch {
		case method == methodNone:
		case method == methodKey && len(a.offeredKeys) > 0:
			all = append(all, methodKey+" ("+strings.Join(slices.Compact(slices.Clone(a.offeredKeys)), ", ")+")")
		default:
			all = append(all, method)
		}
	}
	if len(all) == 0 {
		return "a login without credentials"
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ", ")
}

// sha1Advice suggests LegacyAlgorithms for an RSA key.
func sha1Advice(a *loginAttempt) string {
	rsa := slices.Contains(a.offeredKeys, ssh.KeyAlgoRSASHA256) || slices.Contains(a.offeredKeys, ssh.KeyAlgoRSA)
	if rsa && !a.server.LegacyAlgorithms {
		return "; if the server is old and accepts only SHA-1 signatures (ssh-rsa)" + legacyAdvice(a.server)
	}
	return ""
}

func legacyAdvice(server ingest.Server) string {
	if server.LegacyAlgorithms {
		return ""
	}
	return fmt.Sprintf(", `stevedore server edit %s --legacy-algorithms` allows them", server.Name)
}

// explainNoSFTP distinguishes a server at its limit (transient) from one without SFTP
// for the user (permanent).
func (d *dialer) explainNoSFTP(err error, timedOut bool) error {
	name, user := d.server.Name, d.server.Username
	const limit = "it may limit sessions or connections per user: close other clients of the account, or lower --max-connections"
	var openErr *ssh.OpenChannelError
	var protocol *protocolError
	switch {
	case errors.As(err, &protocol):
		return ingest.Wrap(ingest.KindTransient, err, "server %s accepts user %q but sends %s: ask the partner to remove the text that the account prints at login, e.g. in .bashrc",
			name, user, protocol.sent)
	case strings.Contains(err.Error(), "unexpected server version"):
		return ingest.Wrap(ingest.KindServer, err, "server %s supports no SFTP version 3 (%s): ask the partner to update it", name, quoted(err.Error()))
	case strings.Contains(err.Error(), "subsystem request failed"):
		return ingest.Wrap(ingest.KindServer, err, "server %s accepts user %q but has no SFTP subsystem: ask the partner to enable it", name, user)
	case errors.As(err, &openErr):
		return ingest.Wrap(ingest.KindTransient, &limitError{err}, "server %s accepts user %q but refuses a session (%s, %s): %s", name, user, openErr.Reason, quoted(openErr.Message), limit)
	case timedOut:
		return ingest.Wrap(ingest.KindTransient, err, "server %s accepted user %q but opened no SFTP channel within %s; if the server is slow, raise --login-timeout", name, user, d.cfg.HandshakeTimeout)
	}
	return ingest.Wrap(ingest.KindTransient, &limitError{err}, "server %s accepted user %q but closed the connection and opened no SFTP channel: %s", name, user, limit)
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// unreachable reports whether err is a failure of the TCP connection.
func unreachable(err error) bool {
	var connect *connectError
	return errors.As(err, &connect)
}
