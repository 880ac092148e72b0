package sftp_test

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/sftp"
)

// phaseTimeout is HandshakeTimeout in these tests; hostile servers use all of it.
const phaseTimeout = 3 * time.Second

// forever sends the packet until the client closes the connection.
func forever(r *rawSSH, payload ...any) error {
	go func() { _ = r.silent() }()
	for {
		if err := r.send(payload...); err != nil {
			return err
		}
	}
}

// sequence runs the steps in order.
func sequence(steps ...func(*rawSSH) error) func(*rawSSH) error {
	return func(r *rawSSH) error {
		for _, step := range steps {
			if err := step(r); err != nil {
				return err
			}
		}
		return nil
	}
}

func sendVersion(r *rawSSH) error { return r.start(r.version + "\r\n") }

func openChannel(window, packet uint32) func(*rawSSH) error {
	return func(r *rawSSH) error { return r.channel(window, packet) }
}

// send sends one packet.
func send(payload ...any) func(*rawSSH) error {
	return func(r *rawSSH) error { return r.send(payload...) }
}

func flooding(payload ...any) func(*rawSSH) error {
	return func(r *rawSSH) error { return forever(r, payload...) }
}

func awaitMethod(method string) func(*rawSSH) error {
	return func(r *rawSSH) error { return r.awaitMethod(method) }
}

var silently = (*rawSSH).silent

// TestHostileHandshakes checks that a login ends in time, with a message that names the
// cause, for hostile behavior in every phase. The error is of KindAuth only if the server
// refuses the credentials.
func TestHostileHandshakes(t *testing.T) {
	t.Parallel()
	farewell := "go away\x1b[2J\x07 \"quoted\" " + strings.Repeat("x", 200_000)
	for name, test := range map[string]struct {
		script  func(*rawSSH) error
		kind    ingest.Kind
		result  ingest.LoginResult
		message string
	}{
		"silent after the version":           {sequence(sendVersion, silently), ingest.KindTransient, "", "stopped replying"},
		"silent in the key exchange":         {sequence(sendVersion, func(r *rawSSH) error { return r.send(r.kexInit()) }, silently), ingest.KindTransient, "", "stopped replying"},
		"silent after the key exchange":      {sequence(sendVersion, (*rawSSH).kex, silently), ingest.KindTransient, "", "stopped replying"},
		"silent before the login":            {sequence((*rawSSH).handshake, silently), ingest.KindTransient, "", "stopped replying"},
		"silent after the password":          {sequence((*rawSSH).handshake, awaitMethod("password"), silently), ingest.KindTransient, ingest.LoginUnanswered, "stopped replying"},
		"silent after the login":             {sequence((*rawSSH).acceptPassword, silently), ingest.KindTransient, ingest.LoginAccepted, "opened no SFTP channel within"},
		"silent in the channel":              {sequence((*rawSSH).acceptPassword, openChannel(rawWindow, rawChannelPacket), silently), ingest.KindTransient, ingest.LoginAccepted, "opened no SFTP channel within"},
		"a window of 0":                      {sequence((*rawSSH).acceptPassword, openChannel(0, rawChannelPacket), silently), ingest.KindTransient, ingest.LoginAccepted, "opened no SFTP channel within"},
		"endless ignore, plain":              {sequence(sendVersion, flooding([]byte{msgIgnore}, "x")), ingest.KindTransient, "", "server acme"},
		"endless ignore":                     {sequence((*rawSSH).handshake, flooding([]byte{msgIgnore}, strings.Repeat("x", 30_000))), ingest.KindTransient, "", "stopped replying"},
		"endless debug":                      {sequence((*rawSSH).handshake, flooding([]byte{msgDebug, 1}, strings.Repeat("x", 30_000), "")), ingest.KindTransient, "", "stopped replying"},
		"endless banners":                    {sequence((*rawSSH).handshake, flooding([]byte{msgAuthBanner}, "hello\x1b[2J", "")), ingest.KindServer, "", "endless banners during login"},
		"huge banners":                       {sequence((*rawSSH).handshake, flooding([]byte{msgAuthBanner}, strings.Repeat("x", 250_000), "")), ingest.KindServer, "", "endless banners during login"},
		"extension information twice":        {sequence((*rawSSH).handshake, flooding([]byte{msgExtInfo}, uint32(1), "x", "y")), ingest.KindServer, "", "endless packets"},
		"malformed extension information":    {sequence(sendVersion, (*rawSSH).kex, send([]byte{msgExtInfo}, uint32(0xffffffff), "x", "y"), silently), ingest.KindTransient, "", "server acme"},
		"endless global requests":            {sequence((*rawSSH).acceptPassword, flooding([]byte{msgGlobalRequest}, "x@y", []byte{1})), ingest.KindTransient, ingest.LoginAccepted, "opened no SFTP channel"},
		"endless channels":                   {sequence((*rawSSH).acceptPassword, flooding([]byte{msgChannelOpen}, "session", uint32(9), uint32(9), uint32(9))), ingest.KindTransient, ingest.LoginAccepted, "opened no SFTP channel"},
		"endless key exchanges":              {sequence((*rawSSH).acceptPassword, rekeyForever), ingest.KindTransient, ingest.LoginAccepted, "opened no SFTP channel"},
		"endless partial successes":          {sequence((*rawSSH).handshake, partialSuccessForever), ingest.KindAuth, ingest.LoginAccepted, "second factor"},
		"endless empty prompt rounds":        {sequence((*rawSSH).handshake, awaitMethod("keyboard-interactive"), flooding([]byte{msgAuth60}, "", "", "", uint32(0))), ingest.KindAuth, "", "endless prompts"},
		"an expired password":                {sequence((*rawSSH).handshake, awaitMethod("password"), send([]byte{msgAuth60}, "Your password has expired", ""), silently), ingest.KindAuth, ingest.LoginAccepted, "change the expired password"},
		"disconnect before the password":     {sequence((*rawSSH).handshake, send([]byte{msgDisconnect}, uint32(11), farewell, ""), silently), ingest.KindTransient, "", `login with "go away\x1b[2J\a 'quoted' xxx`},
		"disconnect after the password":      {sequence((*rawSSH).handshake, awaitMethod("password"), send([]byte{msgDisconnect}, uint32(11), farewell, ""), silently), ingest.KindAuth, ingest.LoginRefused, `it ended the connection with "go away\x1b[2J\a 'quoted' xxx`},
		"too many connections":               {sequence((*rawSSH).handshake, awaitMethod("password"), send([]byte{msgDisconnect}, uint32(12), "Too many connections", ""), silently), ingest.KindTransient, ingest.LoginUnanswered, "at its limit or unavailable"},
		"a packet that is too large":         {sequence((*rawSSH).handshake, send([]byte{msgIgnore}, strings.Repeat("x", 900_000)), silently), ingest.KindTransient, "", "the handshake with"},
		"endless lines before the version":   {func(r *rawSSH) error { return linesForever(r, "hello\r\n") }, ingest.KindTransient, "", `it sent "hello"`},
		"an endless line before the version": {func(r *rawSSH) error { return linesForever(r, "hello") }, ingest.KindTransient, "", `is not an SSH server, it sent "hellohello`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			counted := &fakeBudget{}
			server := serveRaw(t, test.script)
			pool := newPool(t, sftp.Config{Passwords: counted, HandshakeTimeout: phaseTimeout}, secrets{Password: []byte("pw-canary")})
			began := time.Now()
			_, err := pool.Open(deadline(t), server)
			if name == "extension information twice" && ingest.IsKind(err, ingest.KindTransient) {
				test.kind, test.message = ingest.KindTransient, "the handshake with" // the reader noticed the end in time
			}
			requireKind(t, err, test.kind, test.message)
			assert.Less(t, time.Since(began), 10*phaseTimeout)
			assert.Less(t, len(err.Error()), 2000)
			assert.NotContains(t, err.Error(), "\x1b")
			assert.NotContains(t, err.Error(), "canary")
			want := map[ingest.LoginResult]int{test.result: 1}
			if test.result == "" {
				want = nil
			}
			assert.Equal(t, want, counted.results())
		})
	}
}

func rekeyForever(r *rawSSH) error {
	for {
		if err := r.kex(); err != nil {
			return err
		}
	}
}

// partialSuccessForever accepts each method and requires another one.
func partialSuccessForever(r *rawSSH) error {
	for {
		request, err := r.await(msgAuthRequest)
		if err != nil {
			return err
		}
		if err := r.refuse("publickey,password,keyboard-interactive", authMethod(request) != "none"); err != nil {
			return err
		}
	}
}

// linesForever repeats the text until the client closes the connection.
func linesForever(w io.Writer, text string) error {
	block := bytes.Repeat([]byte(text), 1000)
	for {
		if _, err := w.Write(block); err != nil {
			return err
		}
	}
}

// TestUnusualConformingServers checks servers that are unusual but conform to the RFCs.
func TestUnusualConformingServers(t *testing.T) {
	t.Parallel()
	withVersion := func(line string) func(*rawSSH) error {
		return sequence(func(r *rawSSH) error {
			r.version = strings.TrimRight(line[strings.LastIndex(line, "SSH-"):], "\r\n")
			return r.start(line)
		}, (*rawSSH).kex, func(r *rawSSH) error {
			if _, err := r.await(msgServiceRequest); err != nil {
				return err
			}
			return r.send([]byte{msgServiceAccept}, "ssh-userauth")
		}, awaitMethod("password"), send([]byte{msgAuthSuccess}), openChannel(rawWindow, rawChannelPacket), (*rawSSH).sftp)
	}
	for name, script := range map[string]func(*rawSSH) error{
		"SSH-1.99":                     withVersion("SSH-1.99-old\r\n"),
		"a version line without CR":    withVersion("SSH-2.0-unix\n"),
		"200 lines before the version": withVersion(strings.Repeat("Welcome!\r\n", 200) + "SSH-2.0-chatty\r\n"),
		"packets of 100 bytes":         sequence((*rawSSH).acceptPassword, openChannel(rawWindow, 100), (*rawSSH).sftp),
		"no password needed": sequence((*rawSSH).handshake, func(r *rawSSH) error {
			_, err := r.await(msgAuthRequest)
			return err
		}, send([]byte{msgAuthSuccess}), openChannel(rawWindow, rawChannelPacket), (*rawSSH).sftp),
		"a round without prompts": sequence((*rawSSH).handshake, awaitMethod("keyboard-interactive"), send([]byte{msgAuth60}, "", "", "", uint32(0)), func(r *rawSSH) error {
			_, err := r.await(msgAuth61)
			return err
		}, send([]byte{msgAuthSuccess}), openChannel(rawWindow, rawChannelPacket), (*rawSSH).sftp),
		"new keys after the login": sequence((*rawSSH).acceptPassword, (*rawSSH).kex, openChannel(rawWindow, rawChannelPacket), (*rawSSH).kex, (*rawSSH).sftp),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := newPool(t, sftp.Config{}, secrets{Password: []byte("pw")})
			seen, err := open(t, pool, serveRaw(t, script)).Stat(deadline(t), "/in/f")
			require.NoError(t, err)
			assert.EqualValues(t, 9, seen.Size)
		})
	}
}

// TestFloodsUseBoundedMemory checks that endless packets are not retained.
func TestFloodsUseBoundedMemory(t *testing.T) { //nolint:paralleltest // it measures memory
	for name, flood := range map[string]func(*rawSSH) error{
		"banners":  sequence((*rawSSH).handshake, flooding([]byte{msgAuthBanner}, strings.Repeat("x", 200_000), "")),
		"debug":    sequence((*rawSSH).handshake, flooding([]byte{msgDebug, 1}, strings.Repeat("x", 200_000), "")),
		"requests": sequence((*rawSSH).acceptPassword, flooding([]byte{msgGlobalRequest}, strings.Repeat("x", 200_000), []byte{1})),
		"channels": sequence((*rawSSH).acceptPassword, flooding([]byte{msgChannelOpen}, strings.Repeat("x", 200_000), uint32(9), uint32(9), uint32(9))),
	} {
		var err error
		peak := heapPeak(func() {
			_, err = newPool(t, sftp.Config{HandshakeTimeout: phaseTimeout}, secrets{Password: []byte("pw")}).Open(deadline(t), serveRaw(t, flood))
		})
		require.Error(t, err, name)
		assert.Less(t, peak, 64.0, "%s, in MiB: %v", name, err)
	}
}
