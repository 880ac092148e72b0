package sftp

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"stevedore/internal/ingest"
)

// dialer makes connections to one server.
type dialer struct {
	cfg    Config
	server ingest.Server
	pins   pins
	// login is the zero value while no host key is pinned.
	login login
	// greeting is what the server said first, and presented its last host key;
	// for probes. SSH hands over keys in a goroutine of its own.
	greeting  string
	presented atomic.Pointer[ssh.PublicKey]
}

// newDialer reads the server's pins, and its credentials only if there are any
// pins: without one nothing is ever sent.
func newDialer(ctx context.Context, cfg Config, secrets Secrets, server ingest.Server) (*dialer, error) {
	pinned, err := newPins(server)
	if err != nil {
		return nil, err
	}
	d := &dialer{cfg: cfg, server: server, pins: pinned}
	if len(pinned.keys) == 0 {
		return d, nil
	}
	if len(pinned.algorithms(server.LegacyAlgorithms)) == 0 {
		return nil, ingest.Errorf(ingest.KindHostKey, "server %s: its pinned host keys are all of types that are not secure: pin an ed25519, ecdsa or rsa key", server.Name)
	}
	creds, err := secrets.Credentials(ctx, server)
	if err != nil {
		return nil, unusable(server, err)
	}
	d.login, err = newLogin(server, creds)
	return d, err
}

// unusable makes a permanent failure to open the credentials the server's as a
// whole: no file of it fares better.
func unusable(server ingest.Server, err error) error {
	kind := ingest.KindOf(err)
	var known *ingest.Error
	if !kind.Permanent() || kind.ServerLevel() || !errors.As(err, &known) {
		return err
	}
	return ingest.Wrap(ingest.KindServer, err, "server %s: %s", server.Name, known.Message)
}

func (d *dialer) address() string {
	return net.JoinHostPort(d.server.Host, strconv.Itoa(d.server.Port))
}

// dial connects, proves the host key, logs in and opens the SFTP channel.
func (d *dialer) dial(ctx context.Context) (*conn, error) {
	c, err := d.attempt(ctx, d.pins.algorithms(d.server.LegacyAlgorithms))
	var refused *ssh.AlgorithmNegotiationError
	if errors.As(err, &refused) && refused.What == "host key" && len(d.pins.keys) > 0 {
		// The server has none of the pinned types. Which key it has instead is
		// worth another look; the pins are compared there all the same.
		c, err = d.attempt(ctx, plainHostKeyAlgorithms(d.server.LegacyAlgorithms))
	}
	if err != nil {
		return nil, d.explain(ctx, err)
	}
	return c, nil
}

// attempt is one TCP connection and what is built on it.
func (d *dialer) attempt(ctx context.Context, hostKeyAlgorithms []string) (*conn, error) {
	line, err := d.connect(ctx)
	if err != nil {
		return nil, err
	}
	// One deadline for all that follows: SSH's own timeout is for TCP only.
	if err := line.SetDeadline(time.Now().Add(d.cfg.HandshakeTimeout)); err != nil {
		_ = line.Close()
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = line.Close() })
	defer stop()
	c, err := d.handshake(line, hostKeyAlgorithms)
	d.greeting = line.greeting()
	if err != nil {
		_ = line.Close()
		return nil, &handshakeError{greeting: d.greeting, err: err}
	}
	if !stop() {
		c.kill()
		return nil, ctx.Err()
	}
	if err := line.SetDeadline(time.Time{}); err != nil {
		c.kill()
		return nil, err
	}
	c.watch()
	return c, nil
}

func (d *dialer) connect(ctx context.Context) (*meteredLine, error) {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.ConnectTimeout)
	defer cancel()
	guard := addressGuard{server: d.server, allowed: d.cfg.AllowNetworks}
	tcp := net.Dialer{Control: guard.control}
	raw, err := tcp.DialContext(ctx, "tcp", d.address())
	if err != nil {
		return nil, err
	}
	return &meteredLine{Conn: raw}, nil
}

func (d *dialer) handshake(line *meteredLine, hostKeyAlgorithms []string) (*conn, error) {
	offered := offeredAlgorithms(d.server.LegacyAlgorithms)
	sshConn, channels, requests, err := ssh.NewClientConn(line, d.address(), &ssh.ClientConfig{
		Config:            ssh.Config{KeyExchanges: offered.KeyExchanges, Ciphers: offered.Ciphers, MACs: offered.MACs},
		User:              d.server.Username,
		AuthCallback:      d.login.next,
		HostKeyCallback:   d.checkHostKey,
		HostKeyAlgorithms: hostKeyAlgorithms,
	})
	if err != nil {
		return nil, err
	}
	client := ssh.NewClient(sshConn, channels, requests)
	c := &conn{cfg: d.cfg, line: line, ssh: client, ended: make(chan struct{})}
	if err := c.openChannel(); err != nil {
		_ = client.Close()
		return nil, &noSFTPError{err: err}
	}
	return c, nil
}

func (d *dialer) checkHostKey(host string, addr net.Addr, key ssh.PublicKey) error {
	d.presented.Store(&key)
	return d.pins.check(host, addr, key)
}

// openChannel starts SFTP on the connection.
func (c *conn) openChannel() error {
	session, err := c.ssh.NewSession()
	if err != nil {
		return err
	}
	stdin, err := session.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := session.StdoutPipe()
	if err != nil {
		return err
	}
	stderr, err := session.StderrPipe()
	if err != nil {
		return err
	}
	if err := session.RequestSubsystem("sftp"); err != nil {
		return err
	}
	// What nobody reads fills the channel's window and stops the server.
	go func() { _, _ = io.Copy(io.Discard, stderr) }()
	c.wire = newWire(stdout, stdin)
	c.client, err = sftp.NewClientPipe(c.wire, c.wire, sftp.UseConcurrentReads(false))
	return err
}

// handshakeError says how far a connection came.
type handshakeError struct {
	greeting string
	err      error
}

func (e *handshakeError) Error() string { return e.err.Error() }
func (e *handshakeError) Unwrap() error { return e.err }

// noSFTPError is a failure after a successful log-in.
type noSFTPError struct{ err error }

func (e *noSFTPError) Error() string { return e.err.Error() }
func (e *noSFTPError) Unwrap() error { return e.err }

// explain turns what went wrong into an error for people.
func (d *dialer) explain(ctx context.Context, err error) error {
	var (
		known     *ingest.Error
		hostKey   *hostKeyError
		refused   *refusedError
		noSFTP    *noSFTPError
		algorithm *ssh.AlgorithmNegotiationError
		handshake *handshakeError
		name, to  = d.server.Name, d.address()
	)
	switch {
	case ctx.Err() != nil:
		return ingest.Wrap(ingest.KindTransient, context.Cause(ctx), "server %s: connecting to %s was given up", name, to)
	case errors.As(err, &known):
		return known
	case errors.As(err, &hostKey):
		return ingest.Errorf(ingest.KindHostKey, "%s", hostKey.message)
	case errors.As(err, &refused), strings.Contains(strings.ToLower(err.Error()), "authentication fail"):
		return ingest.Wrap(ingest.KindAuth, cause(refused, err),
			"server %s refused the credentials of user %s: check them with the partner, correct them, then run `stevedore server test %s`", name, d.server.Username, name)
	case errors.As(err, &noSFTP):
		return d.explainNoSFTP(noSFTP.err)
	case errors.As(err, &algorithm):
		return ingest.Wrap(insecureKind(algorithm), err, "server %s: %s offers no secure %s: ask the partner to update it", name, to, algorithm.What)
	case errors.As(err, &handshake):
		return d.explainHandshake(handshake)
	default:
		return ingest.Wrap(ingest.KindTransient, err, "server %s: cannot connect to %s", name, to)
	}
}

func insecureKind(e *ssh.AlgorithmNegotiationError) ingest.Kind {
	if e.What == "host key" {
		return ingest.KindHostKey
	}
	return ingest.KindServer
}

func cause(refused *refusedError, err error) error {
	if refused != nil {
		return refused
	}
	return err
}

func (d *dialer) explainHandshake(e *handshakeError) error {
	greeting := ingest.DisplayPath(strings.TrimSpace(e.greeting))
	timeout := isTimeout(e.err)
	switch {
	case strings.HasPrefix(e.greeting, "SSH-") && timeout:
		return ingest.Wrap(ingest.KindTransient, e.err, "server %s: %s stopped answering while the connection was set up (%s)", d.server.Name, d.address(), d.cfg.HandshakeTimeout)
	case strings.HasPrefix(e.greeting, "SSH-"):
		return ingest.Wrap(ingest.KindTransient, e.err, "server %s: %s broke off while the connection was set up", d.server.Name, d.address())
	case greeting != "":
		return ingest.Errorf(ingest.KindTransient, "server %s: %s is not an SSH server, it says %q: check host and port", d.server.Name, d.address(), greeting)
	case timeout:
		return ingest.Wrap(ingest.KindTransient, e.err, "server %s: %s takes connections but says nothing for %s: check that it is an SSH server", d.server.Name, d.address(), d.cfg.HandshakeTimeout)
	default:
		return ingest.Wrap(ingest.KindTransient, e.err, "server %s: %s closed the connection at once: it is too busy, blocks this address, or is not an SSH server", d.server.Name, d.address())
	}
}

// explainNoSFTP tells a server that is short of something from one that never
// will give SFTP to the user.
func (d *dialer) explainNoSFTP(err error) error {
	if strings.Contains(err.Error(), "subsystem request failed") {
		return ingest.Wrap(ingest.KindServer, err, "server %s lets user %s log in but gives no SFTP: ask the partner to enable it", d.server.Name, d.server.Username)
	}
	return ingest.Wrap(ingest.KindTransient, err, "server %s let user %s log in but opened no SFTP channel", d.server.Name, d.server.Username)
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
