package sftp

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"stevedore/internal/ingest"
)

// dialer connects to one server.
type dialer struct {
	cfg    Config
	server ingest.Server
	pins   pins
	// via is the dialer of the jump host, nil without one.
	via *dialer
	// login is the zero value while no host key is pinned.
	login login
	// greeting is the server's first line, and presented its last host key; for
	// probes. x/crypto calls the host key callback in another goroutine.
	greeting  string
	presented atomic.Pointer[ssh.PublicKey]
	// answeredPrompts is the number of prompts that the last login answered.
	answeredPrompts int
}

// newDialer parses the server's pins and, only if there are any, its credentials:
// without a pin nothing is sent. The route is the server followed by its jump hosts,
// the nearest last.
func newDialer(ctx context.Context, cfg Config, secrets Secrets, route []ingest.Server) (*dialer, error) {
	server := route[0]
	pinned, err := newPins(server, cfg.Now())
	if err != nil {
		return nil, err
	}
	d := &dialer{cfg: cfg.forServer(server), server: server, pins: pinned}
	if len(route) > 1 {
		if d.via, err = newJumpDialer(ctx, cfg, secrets, route); err != nil {
			return nil, err
		}
	}
	if len(pinned.keys) == 0 {
		return d, nil
	}
	if len(pinned.algorithms(server.LegacyAlgorithms)) == 0 {
		return nil, ingest.Errorf(ingest.KindHostKey, "server %s: all pinned host keys are of insecure types: pin an ed25519, ecdsa or rsa key", server.Name)
	}
	creds, err := secrets.Credentials(ctx, server)
	if err != nil {
		return nil, credentialsError(server, err)
	}
	passwords := cfg.Passwords
	if cfg.DraftPasswords != nil && server.UUID == cfg.DraftUUID {
		passwords = cfg.DraftPasswords
	}
	if d.login, err = newLogin(server, creds, passwords); err != nil {
		return nil, err
	}
	switch { // an exhausted budget makes no connection
	case passwords == nil:
	case len(d.login.keys) == 0:
		err = passwords.CheckPassword(ctx, server)
	default:
		err = passwords.CheckKey(ctx, server)
	}
	return d, err
}

// newJumpDialer returns the dialer of the server's jump host.
func newJumpDialer(ctx context.Context, cfg Config, secrets Secrets, route []ingest.Server) (*dialer, error) {
	jump, err := newDialer(ctx, cfg, secrets, route[1:])
	if err == nil && len(jump.pins.keys) == 0 {
		err = ingest.Errorf(ingest.KindHostKey, "its host key is not pinned: run `stevedore server test %s` first", jump.server.Name)
	}
	return jump, jumpHostError(route[0], route[1], err)
}

// jumpHostError attributes err to the jump host. It keeps the kind, because a fault of
// the jump host affects the server in the same way.
func jumpHostError(server, jump ingest.Server, err error) error {
	if err == nil {
		return nil
	}
	return ingest.Wrap(ingest.KindOf(err), &jumpError{err}, "server %s: its jump host: %s", server.Name, messageOf(jump, err))
}

// jumpError marks an error of the jump host.
type jumpError struct{ err error }

func (e *jumpError) Error() string { return e.err.Error() }
func (e *jumpError) Unwrap() error { return e.err }

func ofJumpHost(err error) bool {
	_, jump := errors.AsType[*jumpError](err)
	return jump
}

func messageOf(server ingest.Server, err error) string {
	var known *ingest.Error
	if errors.As(err, &known) {
		return known.Message
	}
	return server.Name + ": " + ingest.Summary(err.Error())
}

// credentialsError turns a permanent failure to decrypt the credentials into one of
// KindServer, because it affects every file of the server.
func credentialsError(server ingest.Server, err error) error {
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

// dial connects, verifies the host key, logs in and opens the SFTP channel.
func (d *dialer) dial(ctx context.Context) (*conn, error) {
	return d.establish(ctx, (*conn).openChannel)
}

// establish connects, verifies the host key, logs in and calls open.
func (d *dialer) establish(ctx context.Context, open func(*conn) error) (*conn, error) {
	c, err := d.dialOnce(ctx, d.pins.algorithms(d.server.LegacyAlgorithms), open)
	var negotiation *ssh.AlgorithmNegotiationError
	if errors.As(err, &negotiation) && negotiation.What == "host key" && len(d.pins.keys) > 0 {
		// The server has no key of a pinned type. The second attempt learns its key for
		// the message; the pins are checked there, too.
		c, err = d.dialOnce(ctx, plainHostKeyAlgorithms(d.server.LegacyAlgorithms), open)
	}
	if err != nil {
		return nil, d.explain(ctx, err)
	}
	return c, nil
}

// dialOnce makes one connection attempt.
func (d *dialer) dialOnce(ctx context.Context, hostKeyAlgorithms []string, open func(*conn) error) (*conn, error) {
	transport, err := d.connect(ctx)
	if err != nil {
		return nil, err
	}
	// The timer bounds the rest: ssh.ClientConfig.Timeout is for TCP only, and a
	// connection through a jump host has no deadlines.
	var timedOut atomic.Bool
	limit := time.AfterFunc(d.cfg.HandshakeTimeout, func() {
		timedOut.Store(true)
		_ = transport.Close()
	})
	stop := context.AfterFunc(ctx, func() { _ = transport.Close() })
	defer stop()
	c, login, err := d.handshake(ctx, transport, hostKeyAlgorithms, open)
	d.greeting = transport.greeting()
	if err != nil {
		limit.Stop()
		_ = transport.Close()
		flooded := login.endedByClient(err) && !transport.readerStopped()
		return nil, &handshakeError{greeting: d.greeting, timedOut: timedOut.Load(), flooded: flooded, login: login, err: login.hideIn(err)}
	}
	if !limit.Stop() {
		c.kill()
		return nil, &handshakeError{greeting: d.greeting, timedOut: true, login: login, err: errSlow}
	}
	if !stop() {
		c.kill()
		return nil, ctx.Err()
	}
	c.watch()
	return c, nil
}

var errSlow = errors.New("timeout")

func (d *dialer) handshake(ctx context.Context, transport *meteredConn, hostKeyAlgorithms []string, open func(*conn) error) (*conn, *loginAttempt, error) {
	login := d.login.newAttempt(ctx, transport.broken.Load)
	offered := offeredAlgorithms(d.server.LegacyAlgorithms)
	sshConn, channels, requests, err := ssh.NewClientConn(transport, d.address(), &ssh.ClientConfig{
		Config:            ssh.Config{KeyExchanges: offered.KeyExchanges, Ciphers: offered.Ciphers, MACs: offered.MACs},
		User:              d.server.Username,
		AuthCallback:      login.next,
		BannerCallback:    login.addBanner,
		HostKeyCallback:   d.checkHostKey,
		HostKeyAlgorithms: hostKeyAlgorithms,
	})
	if settleErr := login.recordResult(login.result(err)); settleErr != nil {
		// The reservation expires; until then other logins wait.
		d.cfg.Log.WarnContext(ctx, "cannot record the result of a login", "server", d.server.Name, "error", settleErr)
	}
	d.answeredPrompts = login.answeredPrompts
	if err != nil {
		return nil, login, err
	}
	client := ssh.NewClient(sshConn, channels, requests)
	c := &conn{cfg: d.cfg, transport: transport, ssh: client, ended: make(chan struct{})}
	if err := open(c); err != nil {
		_ = client.Close()
		return nil, login, &noSFTPError{err: err}
	}
	return c, login, nil
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
	// Unread stderr fills the channel's window and blocks the server.
	go func() { _, _ = io.Copy(io.Discard, stderr) }()
	c.wire = newWire(stdout, stdin)
	if c.client, err = sftp.NewClientPipe(c.wire, c.wire, sftp.UseConcurrentReads(false)); err != nil {
		return err
	}
	c.setLimits(c.askLimits())
	return nil
}
