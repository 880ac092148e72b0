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

// connectError is a failure before the first byte of SSH; what is the address
// that was connected to, which is the proxy's where there is one.
type connectError struct {
	address string
	err     error
}

func (e *connectError) Error() string { return e.err.Error() }
func (e *connectError) Unwrap() error { return e.err }

// handshakeError says how far a connection came.
type handshakeError struct {
	greeting string
	// timedOut says that it was ended because it took too long.
	timedOut bool
	// flooded says that the server went on sending when the log-in had failed.
	flooded bool
	login   *loginAttempt
	err     error
}

func (e *handshakeError) Error() string { return e.err.Error() }
func (e *handshakeError) Unwrap() error { return e.err }

// noSFTPError is a failure after a successful log-in.
type noSFTPError struct{ err error }

func (e *noSFTPError) Error() string { return e.err.Error() }
func (e *noSFTPError) Unwrap() error { return e.err }

// explain turns what went wrong into an error for people: the cause, and what to do.
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
		return ingest.Wrap(ingest.KindTransient, context.Cause(ctx), "server %s: connecting to %s was given up%s", name, to, endReason(ctx))
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

// why is the reason that was given for the end of ctx, if any was.
func endReason(ctx context.Context) string {
	cause := context.Cause(ctx)
	if errors.Is(cause, context.Canceled) || errors.Is(cause, context.DeadlineExceeded) {
		return ""
	}
	return ": " + ingest.Summary(cause.Error())
}

// explainConnect says why there is no TCP connection.
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
		return failure("the name servers do not answer; check this machine's DNS")
	case errors.As(e.err, &dns) && dns.IsNotFound:
		return failure("the name %s is not found, or has no address; check the spelling and this machine's DNS", ingest.Summary(dns.Name))
	case errors.As(e.err, &dns):
		return failure("the name %s cannot be resolved (%s)", ingest.Summary(dns.Name), ingest.Summary(dns.Err))
	case errors.Is(e.err, syscall.ECONNREFUSED):
		return failure("the connection is refused; nothing listens on this port, or a firewall forbids it: check host and port")
	case errors.Is(e.err, syscall.EHOSTUNREACH), errors.Is(e.err, syscall.ENETUNREACH):
		return failure("there is no route to it; check this machine's network and firewall")
	case errors.Is(e.err, syscall.ECONNRESET):
		return failure("the connection is reset; a firewall may forbid it, or the server is restarting")
	case isTimeout(e.err):
		return failure("no answer within %s; a firewall may drop the packets, or the address is wrong: check host and port, or raise --connect-timeout", d.cfg.ConnectTimeout)
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
		// Each such log-in costs memory that does not come back, see meteredConn.readerStopped,
		// so that it is not tried again by itself.
		return ingest.Wrap(ingest.KindServer, e.err, "server %s: %s sends packets without end during log-in: ask the partner to stop that, then run `stevedore server test %s`", name, to, name)
	case disconnected(e.err) && isUnavailable(e.err.Error()):
		return ingest.Wrap(ingest.KindTransient, &limitError{e.err}, "server %s: %s ended the connection during log-in, it says %s: it is full or busy; close other clients of the account, or set --max-connections",
			name, to, quoted(disconnectMessage(e.err)))
	case disconnected(e.err):
		return ingest.Errorf(ingest.KindTransient, "server %s: %s ended the connection during log-in, it says %s", name, to, quoted(disconnectMessage(e.err)))
	case spoke && timeout:
		return ingest.Wrap(ingest.KindTransient, e.err,
			"server %s: %s stopped answering while the connection was set up (%s); if the server is slow to log in, raise --login-timeout", name, to, d.cfg.HandshakeTimeout)
	case spoke:
		return ingest.Wrap(ingest.KindTransient, e.err, "server %s: %s broke off while the connection was set up%s: %s", name, to, loginPhase(e.login), ingest.Summary(e.err.Error()))
	case strings.TrimSpace(e.greeting) != "":
		return ingest.Errorf(ingest.KindTransient, "server %s: %s is not an SSH server, it says %s: check host and port", name, to, quoted(e.greeting))
	case timeout:
		return ingest.Wrap(ingest.KindTransient, e.err, "server %s: %s takes connections but says nothing for %s: check that it is an SSH server, or raise --login-timeout", name, to, d.cfg.HandshakeTimeout)
	default:
		return ingest.Wrap(ingest.KindTransient, e.err, "server %s: %s closed the connection at once: it is too busy, blocks this address, or is not an SSH server", name, to)
	}
}

// phase says what was under way when a connection broke.
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

// quoted is a server's own text as a message shows it: one harmless line in quotes,
// of which the text itself has none.
func quoted(text string) string {
	text = strings.Trim(strings.Join(strings.Fields(text), " "), `"' `)
	return `"` + ingest.Summary(strings.ReplaceAll(text, `"`, "'")) + `"`
}

// farewell is what a server says in its disconnect message.
func disconnectMessage(err error) string {
	_, text, _ := strings.Cut(err.Error(), "ssh: disconnect, reason ")
	_, text, _ = strings.Cut(text, ": ")
	if plain, err := strconv.Unquote(text); err == nil { // x/crypto quotes it
		return plain
	}
	return text
}

// explainRefusal says what the server refused, and what it wants.
func (d *dialer) explainRefusal(a *loginAttempt, err error) error {
	name, user := d.server.Name, d.server.Username
	banner := ""
	if text := strings.Join(strings.Fields(a.banner), " "); text != "" {
		banner = "; its banner says " + quoted(text)
	}
	refusal := func(format string, args ...any) error {
		return ingest.Errorf(ingest.KindAuth, "server %s refused the credentials of user %s: %s%s", name, user, fmt.Sprintf(format, args...), banner)
	}
	check := fmt.Sprintf("check them with the partner, correct them, then run `stevedore server test %s`", name)
	passed, allowed := a.state.PartialSuccessMethods, a.state.AllowedMethods
	switch {
	case a.factorPrompt != "":
		return ingest.Errorf(ingest.KindAuth, "server %s asks user %s for a second factor (%s), which a machine cannot give: ask the partner for an account with password or key alone%s", name, user, quoted(a.factorPrompt), banner)
	case a.passwordExpired(err):
		return ingest.Errorf(ingest.KindAuth, "server %s asks user %s to change the password, which has expired: agree on a new one with the partner and enter it (`stevedore server edit %s --password-file FILE`)%s", name, user, name, banner)
	case disconnected(err) && strings.Contains(strings.ToLower(err.Error()), "too many authentication"):
		return refusal("it allows no more tries in one connection (%s); %s", quoted(disconnectMessage(err)), check)
	case disconnected(err):
		return refusal("it ended the connection and says %s; %s", quoted(disconnectMessage(err)), check)
	case len(passed) > 0:
		return ingest.Errorf(ingest.KindAuth, "server %s accepted %s of user %s but wants a second factor (it takes %s): add what is missing, a password or a key, or ask the partner for an account without it%s",
			name, strings.Join(passed, ", "), user, shortList(allowed), banner)
	case len(a.keys) > 0 && len(a.offeredKeys) == 0 && slices.Contains(allowed, methodKey):
		return ingest.Errorf(ingest.KindAuth, "server %s was not offered the key of user %s, because it takes none of the key's signature types; make an ed25519 key%s", name, user, legacyAdvice(d.server))
	}
	return refusal("refused %s (it takes %s); %s%s", refusedMethods(a), shortList(allowed), check, sha1Advice(a))
}

// refusedMethods names what the server refused.
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
		return "a log-in without any of these"
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ", ")
}

// sha1Advice names the switch that may help an RSA key.
func sha1Advice(a *loginAttempt) string {
	rsa := slices.Contains(a.offeredKeys, ssh.KeyAlgoRSASHA256) || slices.Contains(a.offeredKeys, ssh.KeyAlgoRSA)
	if rsa && !a.server.LegacyAlgorithms {
		return "; if the server is old and takes signatures with SHA-1 only (ssh-rsa)" + legacyAdvice(a.server)
	}
	return ""
}

func legacyAdvice(server ingest.Server) string {
	if server.LegacyAlgorithms {
		return ""
	}
	return fmt.Sprintf(", `stevedore server edit %s --legacy-algorithms` allows them", server.Name)
}

// explainNoSFTP tells a server that is short of something from one that never
// will give SFTP to the user.
func (d *dialer) explainNoSFTP(err error, timedOut bool) error {
	name, user := d.server.Name, d.server.Username
	const limit = "it may limit the sessions or connections of a user: close other clients of the account, or lower --max-connections"
	var openErr *ssh.OpenChannelError
	switch {
	case strings.Contains(err.Error(), "subsystem request failed"):
		return ingest.Wrap(ingest.KindServer, err, "server %s lets user %s log in but gives no SFTP: ask the partner to enable it", name, user)
	case errors.As(err, &openErr):
		return ingest.Wrap(ingest.KindTransient, &limitError{err}, "server %s lets user %s log in but refuses a session (%s, %s): %s", name, user, openErr.Reason, quoted(openErr.Message), limit)
	case timedOut:
		return ingest.Wrap(ingest.KindTransient, err, "server %s let user %s log in but opened no SFTP channel within %s; if the server is slow, raise --login-timeout", name, user, d.cfg.HandshakeTimeout)
	}
	return ingest.Wrap(ingest.KindTransient, &limitError{err}, "server %s let user %s log in but closed the connection and opened no SFTP channel: %s", name, user, limit)
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// unreachable reports whether err is of a connection that did not reach the
// server at all.
func unreachable(err error) bool {
	var connect *connectError
	return errors.As(err, &connect)
}
