package sftp_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"stevedore/internal/ingest"
	"stevedore/internal/sftp"
	"stevedore/internal/test/services"
)

// fakeBudget is a PasswordBudget that counts results. It sets no bound unless passwordErr
// or keyErr is set.
type fakeBudget struct {
	mu              sync.Mutex
	passwordResults map[ingest.LoginResult]int
	passwordErr     error
	// keyResults are the results of keys in order.
	keyResults []ingest.LoginResult
	keyErr     error
}

func (b *fakeBudget) CheckPassword(context.Context, ingest.Server) error { return b.passwordErr }

func (b *fakeBudget) ReservePassword(context.Context, ingest.Server) (int64, error) {
	return 1, b.passwordErr
}

func (b *fakeBudget) RecordPasswordResult(_ context.Context, _ ingest.Server, _ int64, result ingest.LoginResult) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.passwordResults == nil {
		b.passwordResults = map[ingest.LoginResult]int{}
	}
	b.passwordResults[result]++
	return nil
}

func (b *fakeBudget) CheckKey(context.Context, ingest.Server) error { return b.keyErr }

func (b *fakeBudget) RecordKeyResult(_ context.Context, _ ingest.Server, result ingest.LoginResult) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.keyResults = append(b.keyResults, result)
	return nil
}

func (b *fakeBudget) results() map[ingest.LoginResult]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.passwordResults)
}

// cuttingRelay is a TCP relay that breaks a connection after a number of bytes in one
// direction.
type cuttingRelay struct {
	port int
	// after is the number of relayed bytes, negative for all; reset sends RST instead
	// of FIN.
	after   atomic.Int64
	answers atomic.Bool // counts the server's bytes, not the client's
	reset   atomic.Bool
	cut     atomic.Int64 // connections broken
}

func newCuttingRelay(t *testing.T, to int) *cuttingRelay {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	c := &cuttingRelay{port: listener.Addr().(*net.TCPAddr).Port}
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			go c.relay(near, fmt.Sprintf("127.0.0.1:%d", to))
		}
	}()
	return c
}

func (c *cuttingRelay) relay(near net.Conn, address string) {
	far, err := net.Dial("tcp", address)
	if err != nil {
		_ = near.Close()
		return
	}
	limit, answers := c.after.Load(), c.answers.Load()
	end := sync.OnceFunc(func() {
		if c.reset.Load() {
			_ = near.(*net.TCPConn).SetLinger(0)
			_ = far.(*net.TCPConn).SetLinger(0)
		}
		_ = near.Close()
		_ = far.Close()
	})
	pass := func(to, from net.Conn, limited bool) {
		defer end()
		if !limited || limit < 0 {
			_, _ = io.Copy(to, from)
			return
		}
		if n, _ := io.CopyN(to, from, limit); n == limit {
			c.cut.Add(1)
		}
	}
	go pass(far, near, !answers)
	pass(near, far, answers)
}

// TestFault80ConnectionsThatBreakDuringLogin breaks the connection after each 11 bytes of
// a login, in both directions, by FIN and by RST. No broken connection counts as a
// refusal of the password.
func TestFault80ConnectionsThatBreakDuringLogin(t *testing.T) {
	t.Parallel()
	server := fakeSSH(t, &ssh.ServerConfig{PasswordCallback: passwordIs("pw")}, hostile{}.serve)
	relay := newCuttingRelay(t, server.Port)
	server.Port = relay.port
	counted := &fakeBudget{}
	for _, answers := range []bool{false, true} {
		for _, reset := range []bool{false, true} {
			relay.answers.Store(answers)
			relay.reset.Store(reset)
			through := false
			for n := int64(0); n < 8000 && !through; n += 11 {
				relay.after.Store(n)
				pool := newPool(t, sftp.Config{Passwords: counted}, secrets{Password: []byte("pw")})
				session, err := pool.Open(deadline(t), server)
				if err == nil {
					require.NoError(t, session.Close())
					through = true
				} else {
					require.Equal(t, ingest.KindTransient, ingest.KindOf(err), "answers=%v reset=%v after %d bytes: %v", answers, reset, n, err)
				}
				require.NoError(t, pool.Close())
			}
			require.True(t, through, "the login succeeds in the end")
		}
	}
	assert.Greater(t, relay.cut.Load(), int64(300))
	assert.Zero(t, counted.results()[ingest.LoginRefused])
	assert.Positive(t, counted.results()[ingest.LoginUnanswered], "some connections broke after the password")
}

func passwordIs(right string) func(ssh.ConnMetadata, []byte) (*ssh.Permissions, error) {
	return func(_ ssh.ConnMetadata, given []byte) (*ssh.Permissions, error) {
		if string(given) != right {
			return nil, errors.New("wrong password")
		}
		return nil, nil
	}
}

// TestLoginErrors checks the error, and the result for the credentials, of failed logins.
func TestLoginErrors(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		config  ssh.ServerConfig
		kind    ingest.Kind
		result  ingest.LoginResult
		message []string
	}{
		"wrong password": {
			ssh.ServerConfig{PasswordCallback: passwordIs("other")},
			ingest.KindAuth, ingest.LoginRefused, []string{"refused the credentials of user \"u\"", "refused password", "stevedore server test acme"},
		},
		"one try a connection": { // x/crypto's server answers by SSH_MSG_DISCONNECT
			ssh.ServerConfig{PasswordCallback: passwordIs("other"), MaxAuthTries: 1},
			ingest.KindAuth, ingest.LoginRefused, []string{"refused the credentials", "too many authentication failures"},
		},
		"banner": {
			ssh.ServerConfig{PasswordCallback: passwordIs("other"), BannerCallback: func(ssh.ConnMetadata) string { return "Account\x1b[2J expired\n" }},
			ingest.KindAuth, ingest.LoginRefused, []string{`banner: "Account\x1b[2J expired"`},
		},
		"second factor after the password": {
			ssh.ServerConfig{PasswordCallback: func(ssh.ConnMetadata, []byte) (*ssh.Permissions, error) {
				return nil, &ssh.PartialSuccessError{Next: ssh.ServerAuthCallbacks{KeyboardInteractiveCallback: refuseInteractive}}
			}},
			ingest.KindAuth, ingest.LoginAccepted, []string{"accepted password", "second factor", "keyboard-interactive"},
		},
		"keys only": {
			ssh.ServerConfig{PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) { return nil, errors.New("no") }},
			ingest.KindAuth, "", []string{"it accepts publickey"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			counted := &fakeBudget{}
			server := fakeSSH(t, &test.config, hostile{}.serve)
			_, err := newPool(t, sftp.Config{Passwords: counted}, secrets{Password: []byte("pw-canary")}).Open(deadline(t), server)
			requireKind(t, err, test.kind, test.message...)
			assert.NotContains(t, err.Error(), "canary")
			want := map[ingest.LoginResult]int{test.result: 1}
			if test.result == "" {
				want = nil
			}
			assert.Equal(t, want, counted.results())
		})
	}
}

// TestQuotedPassword checks that errors omit a password that the server's messages quote.
func TestQuotedPassword(t *testing.T) {
	t.Parallel()
	const password = `pw"canary`
	quoting := func(_ ssh.ConnMetadata, given []byte) (*ssh.Permissions, error) {
		return nil, &ssh.BannerError{Err: errors.New("no"), Message: fmt.Sprintf("no password %s for u\n", given)}
	}
	prompting := func(_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
		given, err := ask("", "", []string{"Password: "}, []bool{false})
		if err == nil {
			_, err = ask("", "", []string{"Code after " + given[0] + ": "}, []bool{true})
		}
		return nil, err
	}
	for name, server := range map[string]ingest.Server{
		"banner": fakeSSH(t, &ssh.ServerConfig{PasswordCallback: quoting}, hostile{}.serve),
		"prompt": fakeSSH(t, &ssh.ServerConfig{KeyboardInteractiveCallback: prompting}, hostile{}.serve),
		"disconnect": serveRaw(t, sequence((*rawSSH).handshake, awaitMethod("password"),
			send([]byte{msgDisconnect}, uint32(2), "bad password "+password, ""), silently)),
		"limit": serveRaw(t, sequence((*rawSSH).handshake, awaitMethod("password"),
			send([]byte{msgDisconnect}, uint32(12), "too many connections with "+password, ""), silently)),
	} {
		_, err := newPool(t, sftp.Config{}, secrets{Password: []byte(password)}).Open(deadline(t), server)
		require.ErrorContains(t, err, "***", name)
		for ; err != nil; err = errors.Unwrap(err) { // Temporal records every cause
			assert.NotContains(t, err.Error(), "canary", name)
		}
	}
}

func refuseInteractive(ssh.ConnMetadata, ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
	return nil, errors.New("no")
}

// TestNoPasswordWithoutBudget checks that no connection is made without a budget.
func TestNoPasswordWithoutBudget(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	server := fakeSSH(t, &ssh.ServerConfig{PasswordCallback: func(ssh.ConnMetadata, []byte) (*ssh.Permissions, error) {
		asked.Add(1)
		return nil, nil
	}}, hostile{}.serve)
	spent := &fakeBudget{passwordErr: ingest.Errorf(ingest.KindAuth, "spent")}
	_, err := newPool(t, sftp.Config{Passwords: spent}, secrets{Password: []byte("pw")}).Open(deadline(t), server)
	requireKind(t, err, ingest.KindAuth, "spent")
	assert.Zero(t, asked.Load())
	// With a key the server is contacted, but the password is not sent.
	_, err = newPool(t, sftp.Config{Passwords: spent}, secrets{Password: []byte("pw"), PrivateKey: pemKey(t)}).Open(deadline(t), server)
	requireKind(t, err, ingest.KindAuth, "spent")
	assert.Zero(t, asked.Load())
}

func pemKey(t *testing.T) []byte {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	return services.PEM(t, key)
}

// TestKeyboardInteractivePrompts checks that the password answers only a password prompt,
// once, and never if the same round asks for a second factor.
func TestKeyboardInteractivePrompts(t *testing.T) {
	t.Parallel()
	type question struct {
		text string
		echo bool
	}
	for name, test := range map[string]struct {
		rounds  [][]question
		want    [][]string
		message string
		result  ingest.LoginResult
	}{
		"password":          {[][]question{{{"Password: ", false}}}, [][]string{{"pw"}}, "", ingest.LoginAccepted},
		"unnamed":           {[][]question{{{"u@host's secret: ", false}}}, [][]string{{"pw"}}, "", ingest.LoginAccepted},
		"user and password": {[][]question{{{"User name: ", true}, {"Password: ", false}}}, [][]string{{"u", "pw"}}, "", ingest.LoginAccepted},
		"one after another": {[][]question{{{"login: ", true}}, {{"Password: ", false}}}, [][]string{{"u"}, {"pw"}}, "", ingest.LoginAccepted},
		"greetings":         {[][]question{{}, {{"Password: ", false}}, {}}, [][]string{nil, {"pw"}, nil}, "", ingest.LoginAccepted},
		"echoed":            {[][]question{{{"Password: ", true}}}, [][]string{{"pw"}}, "", ingest.LoginAccepted},
		"then a code":       {[][]question{{{"Password: ", false}}, {{"Verification code: ", false}}}, [][]string{{"pw"}}, `second factor ("Verification code:")`, ingest.LoginAccepted},
		"then anything":     {[][]question{{{"Password: ", false}}, {{"Answer: ", false}}}, [][]string{{"pw"}}, `second factor ("Answer:")`, ingest.LoginAccepted},
		"both together":     {[][]question{{{"Password: ", false}, {"Code: ", false}}}, nil, `second factor ("Code:")`, ""},
		"one-time password": {[][]question{{{"One-time password: ", false}}}, nil, "second factor", ""},
		"a question":        {[][]question{{{"Favourite colour? ", true}}}, nil, "second factor", ""},
		"password again":    {[][]question{{{"Password: ", false}}, {{"Password: ", false}}}, [][]string{{"pw"}}, "refused", ingest.LoginRefused},
		"password twice":    {[][]question{{{"Password: ", false}, {"Password: ", false}}}, nil, "second factor", ""},
		"new password":      {[][]question{{{"Password: ", false}}, {{"New password: ", false}}}, [][]string{{"pw"}}, "change the expired password", ingest.LoginAccepted},
		"Russian":           {[][]question{{{"Пароль: ", false}}, {{"Новый пароль: ", false}}}, [][]string{{"pw"}}, "change the expired password", ingest.LoginAccepted},
		"current password":  {[][]question{{{"Password: ", false}}, {}, {{"(current) UNIX password: ", false}}}, [][]string{{"pw"}, nil}, "change the expired password", ingest.LoginAccepted},
		"first of all":      {[][]question{{{"Current password: ", false}, {"New password: ", false}}}, nil, "change the expired password", ""},
		"expired":           {[][]question{{{"Password: ", false}}, {{"Ihr Kennwort ist abgelaufen. Kennwort: ", false}}}, [][]string{{"pw"}}, "change the expired password", ingest.LoginAccepted},
		"expired code":      {[][]question{{{"Password: ", false}}, {{"The one-time password expired. Enter it again: ", false}}}, [][]string{{"pw"}}, "second factor", ingest.LoginAccepted},
		"endless prompts":   {[][]question{{{"login: ", true}}, {{"login: ", true}}, {{"login: ", true}}, {{"login: ", true}}, {{"login: ", true}}, {{"login: ", true}}, {{"login: ", true}}, {{"login: ", true}}, {{"login: ", true}}, {{"login: ", true}}, {{"login: ", true}}}, nil, "endless", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answers := make(chan [][]string, 1)
			config := &ssh.ServerConfig{KeyboardInteractiveCallback: func(_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
				var got [][]string
				defer func() { answers <- got }()
				for _, round := range test.rounds {
					var texts []string
					var echos []bool
					for _, q := range round {
						texts, echos = append(texts, q.text), append(echos, q.echo)
					}
					given, err := ask("", "", texts, echos)
					if err != nil {
						return nil, err
					}
					got = append(got, given)
				}
				return nil, nil
			}}
			server := fakeSSH(t, config, hostile{}.serve)
			counted := &fakeBudget{}
			session, err := newPool(t, sftp.Config{Passwords: counted}, secrets{Password: []byte("pw")}).Open(deadline(t), server)
			if test.message == "" {
				require.NoError(t, err)
				require.NoError(t, session.Close())
			} else {
				requireKind(t, err, ingest.KindAuth, test.message)
			}
			got := <-answers
			if test.want != nil {
				require.Len(t, got, len(test.want))
				for i := range test.want {
					assert.ElementsMatch(t, test.want[i], got[i])
				}
			} else {
				assert.NotContains(t, fmt.Sprint(got), "pw")
			}
			if test.result == "" {
				assert.Empty(t, counted.results())
			} else {
				assert.Equal(t, map[ingest.LoginResult]int{test.result: 1}, counted.results())
			}
		})
	}
}

// TestSlowLogin checks that the server's LoginTimeout overrides the configuration.
func TestSlowLogin(t *testing.T) {
	t.Parallel()
	released := make(chan struct{})
	server := fakeSSH(t, &ssh.ServerConfig{PasswordCallback: func(ssh.ConnMetadata, []byte) (*ssh.Permissions, error) {
		<-released
		return nil, nil
	}}, hostile{}.serve)
	defer close(released)
	counted := &fakeBudget{}
	server.LoginTimeout = ingest.Duration(time.Second)
	_, err := newPool(t, sftp.Config{Passwords: counted, HandshakeTimeout: time.Hour}, secrets{Password: []byte("pw")}).Open(deadline(t), server)
	requireKind(t, err, ingest.KindTransient, "stopped replying", "1s", "--login-timeout")
	assert.Equal(t, map[ingest.LoginResult]int{ingest.LoginUnanswered: 1}, counted.results())
}

// slowLogins is a server that delays its answers to passwords until decided has one.
func slowLogins(t *testing.T) (server ingest.Server, asked chan struct{}, decided chan error) {
	t.Helper()
	asked, decided = make(chan struct{}, 9), make(chan error, 9)
	return fakeSSH(t, &ssh.ServerConfig{PasswordCallback: func(ssh.ConnMetadata, []byte) (*ssh.Permissions, error) {
		asked <- struct{}{}
		return nil, <-decided
	}}, hostile{}.serve), asked, decided
}

// abandon opens a session and leaves once the password was sent.
func abandon(t *testing.T, pool *sftp.Pool, server ingest.Server, asked <-chan struct{}) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	_, err := pool.Open(ctx, server)
	requireKind(t, err, ingest.KindTransient, "canceled")
}

// A login goes on without the caller that has left: its result is known, and the next session
// needs no other login.
func TestAbandonedLogin(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer error
		result ingest.LoginResult
	}{
		"accepted": {nil, ingest.LoginAccepted},
		"refused":  {errors.New("refused"), ingest.LoginRefused},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, asked, decided := slowLogins(t)
			counted := &fakeBudget{}
			pool := newPool(t, sftp.Config{Passwords: counted}, secrets{Password: []byte("pw")})
			abandon(t, pool, server, asked)
			assert.Empty(t, counted.results())

			decided <- test.answer
			if test.answer == nil {
				session, err := pool.Open(deadline(t), server)
				require.NoError(t, err)
				require.NoError(t, session.Close())
			}
			require.Eventually(t, func() bool { return len(counted.results()) > 0 }, time.Minute, time.Millisecond)
			assert.Equal(t, map[ingest.LoginResult]int{test.result: 1}, counted.results())
			assert.Empty(t, asked, "one password was sent")
		})
	}
}

// TestPoolClosedDuringLogin checks that a login that the end of the process cancels counts as
// unanswered: a server that delays refusals locks the account nevertheless.
func TestPoolClosedDuringLogin(t *testing.T) {
	t.Parallel()
	server, asked, decided := slowLogins(t)
	defer close(decided)
	counted := &fakeBudget{}
	pool := newPool(t, sftp.Config{Passwords: counted}, secrets{Password: []byte("pw")})
	abandon(t, pool, server, asked)
	require.NoError(t, pool.Close())
	assert.Equal(t, map[ingest.LoginResult]int{ingest.LoginUnanswered: 1}, counted.results())
}

func TestNoConnection(t *testing.T) {
	t.Parallel()
	pool := newPool(t, sftp.Config{ConnectTimeout: 20 * time.Second}, secrets{})
	_, err := pool.Open(deadline(t), ingest.Server{Name: "acme", Host: "no-such-host.invalid", Port: 22})
	requireKind(t, err, ingest.KindTransient, "cannot connect to no-such-host.invalid:22: ")
	assert.True(t, strings.Contains(err.Error(), "not found") || strings.Contains(err.Error(), "DNS"), "%v", err)
	_, err = pool.Open(deadline(t), ingest.Server{Name: "acme", Host: "127.0.0.1", Port: 1})
	requireKind(t, err, ingest.KindTransient, "connection refused: no server listens on this port")
}
