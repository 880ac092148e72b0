package sftp_test

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/sftp"
)

// phaseTimeout is the log-in's time in these tests; a hostile server may use all of it.
const phaseTimeout = 3 * time.Second

// forever sends the packet until the client ends the connection.
func forever(r *rawSSH, payload ...any) error {
	go func() { _ = r.silent() }()
	for {
		if err := r.send(payload...); err != nil {
			return err
		}
	}
}

// after runs the steps one after another.
func after(steps ...func(*rawSSH) error) func(*rawSSH) error {
	return func(r *rawSSH) error {
		for _, step := range steps {
			if err := step(r); err != nil {
				return err
			}
		}
		return nil
	}
}

func versionLine(r *rawSSH) error { return r.start(r.version + "\r\n") }

func channelOpened(window, packet uint32) func(*rawSSH) error {
	return func(r *rawSSH) error { return r.channel(window, packet) }
}

// sending sends one packet and goes on.
func sending(payload ...any) func(*rawSSH) error {
	return func(r *rawSSH) error { return r.send(payload...) }
}

func flooding(payload ...any) func(*rawSSH) error {
	return func(r *rawSSH) error { return forever(r, payload...) }
}

func offeringOnly(method string) func(*rawSSH) error {
	return func(r *rawSSH) error { return r.offering(method) }
}

var silently = (*rawSSH).silent

// TestHostilePhasesOfALogin: whatever a server does in whatever phase of a
// log-in, it ends in time, with a message of the cause, and the credentials are only
// to blame where the server says so.
func TestHostilePhasesOfALogin(t *testing.T) {
	t.Parallel()
	farewell := "go away\x1b[2J\x07 \"quoted\" " + strings.Repeat("x", 200_000)
	for name, test := range map[string]struct {
		script func(*rawSSH) error
		kind   ingest.Kind
		fate   ingest.PasswordFate
		says   string
	}{
		"silent after the version":             {after(versionLine, silently), ingest.KindTransient, "", "stopped replying"},
		"silent in the key exchange":           {after(versionLine, func(r *rawSSH) error { return r.send(r.kexInit()) }, silently), ingest.KindTransient, "", "stopped replying"},
		"silent after the key exchange":        {after(versionLine, (*rawSSH).kex, silently), ingest.KindTransient, "", "stopped replying"},
		"silent before the log-in":             {after((*rawSSH).secure, silently), ingest.KindTransient, "", "stopped replying"},
		"silent after the password":            {after((*rawSSH).secure, offeringOnly("password"), silently), ingest.KindTransient, ingest.PasswordUnanswered, "stopped replying"},
		"silent after the log-in":              {after((*rawSSH).letIn, silently), ingest.KindTransient, ingest.PasswordAccepted, "opened no SFTP channel within"},
		"silent in the channel":                {after((*rawSSH).letIn, channelOpened(rawWindow, rawChannelPacket), silently), ingest.KindTransient, ingest.PasswordAccepted, "opened no SFTP channel within"},
		"a window of nothing":                  {after((*rawSSH).letIn, channelOpened(0, rawChannelPacket), silently), ingest.KindTransient, ingest.PasswordAccepted, "opened no SFTP channel within"},
		"ignore without end, plain":            {after(versionLine, flooding([]byte{msgIgnore}, "x")), ingest.KindTransient, "", "server acme"},
		"ignore without end":                   {after((*rawSSH).secure, flooding([]byte{msgIgnore}, strings.Repeat("x", 30_000))), ingest.KindTransient, "", "stopped replying"},
		"debug without end":                    {after((*rawSSH).secure, flooding([]byte{msgDebug, 1}, strings.Repeat("x", 30_000), "")), ingest.KindTransient, "", "stopped replying"},
		"banners without end":                  {after((*rawSSH).secure, flooding([]byte{msgAuthBanner}, "hello\x1b[2J", "")), ingest.KindServer, "", "endless banners during log-in"},
		"huge banners":                         {after((*rawSSH).secure, flooding([]byte{msgAuthBanner}, strings.Repeat("x", 250_000), "")), ingest.KindServer, "", "endless banners during log-in"},
		"extension information twice":          {after((*rawSSH).secure, flooding([]byte{msgExtInfo}, uint32(1), "x", "y")), ingest.KindServer, "", "endless packets"},
		"extension information that lies":      {after(versionLine, (*rawSSH).kex, sending([]byte{msgExtInfo}, uint32(0xffffffff), "x", "y"), silently), ingest.KindTransient, "", "server acme"},
		"global requests without end":          {after((*rawSSH).letIn, flooding([]byte{msgGlobalRequest}, "x@y", []byte{1})), ingest.KindTransient, ingest.PasswordAccepted, "opened no SFTP channel"},
		"channels without end":                 {after((*rawSSH).letIn, flooding([]byte{msgChannelOpen}, "session", uint32(9), uint32(9), uint32(9))), ingest.KindTransient, ingest.PasswordAccepted, "opened no SFTP channel"},
		"key exchanges without end":            {after((*rawSSH).letIn, keysForever), ingest.KindTransient, ingest.PasswordAccepted, "opened no SFTP channel"},
		"partial successes without end":        {after((*rawSSH).secure, partlyForever), ingest.KindAuth, ingest.PasswordAccepted, "second factor"},
		"rounds of nothing without end":        {after((*rawSSH).secure, offeringOnly("keyboard-interactive"), flooding([]byte{msgAuth60}, "", "", "", uint32(0))), ingest.KindAuth, "", "endless prompts"},
		"a password that has to be changed":    {after((*rawSSH).secure, offeringOnly("password"), sending([]byte{msgAuth60}, "Your password has expired", ""), silently), ingest.KindAuth, ingest.PasswordAccepted, "change the expired password"},
		"disconnect before the password":       {after((*rawSSH).secure, sending([]byte{msgDisconnect}, uint32(11), farewell, ""), silently), ingest.KindTransient, "", `log-in with "go away\x1b[2J\a 'quoted' xxx`},
		"disconnect after the password":        {after((*rawSSH).secure, offeringOnly("password"), sending([]byte{msgDisconnect}, uint32(11), farewell, ""), silently), ingest.KindAuth, ingest.PasswordRefused, `it ended the connection with "go away\x1b[2J\a 'quoted' xxx`},
		"too many connections":                 {after((*rawSSH).secure, offeringOnly("password"), sending([]byte{msgDisconnect}, uint32(12), "Too many connections", ""), silently), ingest.KindTransient, ingest.PasswordUnanswered, "at its limit or unavailable"},
		"a packet that is too large":           {after((*rawSSH).secure, sending([]byte{msgIgnore}, strings.Repeat("x", 900_000)), silently), ingest.KindTransient, "", "closed the connection during the handshake"},
		"lines before the version for ever":    {func(r *rawSSH) error { return linesForever(r, "hello\r\n") }, ingest.KindTransient, "", `it sent "hello"`},
		"one line before the version, endless": {func(r *rawSSH) error { return linesForever(r, "hello") }, ingest.KindTransient, "", `is not an SSH server, it sent "hellohello`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			counted := &budget{}
			server := serveRaw(t, test.script)
			pool := newPool(t, sftp.Config{Passwords: counted, HandshakeTimeout: phaseTimeout}, secrets{Password: []byte("pw-canary")})
			began := time.Now()
			_, err := pool.Open(deadline(t), server)
			if name == "extension information twice" && ingest.IsKind(err, ingest.KindTransient) {
				test.kind, test.says = ingest.KindTransient, "closed the connection during the handshake" // the reader noticed the end in time
			}
			requireKind(t, err, test.kind, test.says)
			assert.Less(t, time.Since(began), 10*phaseTimeout)
			assert.Less(t, len(err.Error()), 2000)
			assert.NotContains(t, err.Error(), "\x1b")
			assert.NotContains(t, err.Error(), "canary")
			want := map[ingest.PasswordFate]int{test.fate: 1}
			if test.fate == "" {
				want = nil
			}
			assert.Equal(t, want, counted.seen())
		})
	}
}

func keysForever(r *rawSSH) error {
	for {
		if err := r.kex(); err != nil {
			return err
		}
	}
}

// partlyForever says to each method that one more is needed.
func partlyForever(r *rawSSH) error {
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

func linesForever(r *rawSSH, text string) error {
	block := bytes.Repeat([]byte(text), 1000)
	for {
		if _, err := r.Write(block); err != nil {
			return err
		}
	}
}

// TestUnusualButRight: these servers are odd and not wrong.
func TestUnusualButRight(t *testing.T) {
	t.Parallel()
	spoken := func(line string) func(*rawSSH) error {
		return after(func(r *rawSSH) error {
			r.version = strings.TrimRight(line[strings.LastIndex(line, "SSH-"):], "\r\n")
			return r.start(line)
		}, (*rawSSH).kex, func(r *rawSSH) error {
			if _, err := r.await(msgServiceRequest); err != nil {
				return err
			}
			return r.send([]byte{msgServiceAccept}, "ssh-userauth")
		}, offeringOnly("password"), sending([]byte{msgAuthSuccess}), channelOpened(rawWindow, rawChannelPacket), (*rawSSH).sftp)
	}
	for name, script := range map[string]func(*rawSSH) error{
		"SSH-1.99":                   spoken("SSH-1.99-old\r\n"),
		"a version line without \\r": spoken("SSH-2.0-unix\n"),
		"200 lines before it":        spoken(strings.Repeat("Welcome!\r\n", 200) + "SSH-2.0-chatty\r\n"),
		"packets of 100 bytes":       after((*rawSSH).letIn, channelOpened(rawWindow, 100), (*rawSSH).sftp),
		"no password needed": after((*rawSSH).secure, func(r *rawSSH) error {
			_, err := r.await(msgAuthRequest)
			return err
		}, sending([]byte{msgAuthSuccess}), channelOpened(rawWindow, rawChannelPacket), (*rawSSH).sftp),
		"a question without prompts": after((*rawSSH).secure, offeringOnly("keyboard-interactive"), sending([]byte{msgAuth60}, "", "", "", uint32(0)), func(r *rawSSH) error {
			_, err := r.await(msgAuth61)
			return err
		}, sending([]byte{msgAuthSuccess}), channelOpened(rawWindow, rawChannelPacket), (*rawSSH).sftp),
		"new keys after the log-in": after((*rawSSH).letIn, (*rawSSH).kex, channelOpened(rawWindow, rawChannelPacket), (*rawSSH).kex, (*rawSSH).sftp),
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

// TestFloodsCostNoMemory: what a server sends without end is not kept.
func TestFloodsCostNoMemory(t *testing.T) { //nolint:paralleltest // it measures memory
	const most = 64 << 20
	for name, flood := range map[string]func(*rawSSH) error{
		"banners":  after((*rawSSH).secure, flooding([]byte{msgAuthBanner}, strings.Repeat("x", 200_000), "")),
		"debug":    after((*rawSSH).secure, flooding([]byte{msgDebug, 1}, strings.Repeat("x", 200_000), "")),
		"requests": after((*rawSSH).letIn, flooding([]byte{msgGlobalRequest}, strings.Repeat("x", 200_000), []byte{1})),
		"channels": after((*rawSSH).letIn, flooding([]byte{msgChannelOpen}, strings.Repeat("x", 200_000), uint32(9), uint32(9), uint32(9))),
	} {
		var peak atomic.Uint64
		ended := make(chan struct{})
		go func() {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for {
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				peak.Store(max(peak.Load(), m.HeapAlloc))
				select {
				case <-ended:
					return
				case <-tick.C:
				}
			}
		}()
		runtime.GC()
		var before runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := newPool(t, sftp.Config{HandshakeTimeout: phaseTimeout}, secrets{Password: []byte("pw")}).Open(deadline(t), serveRaw(t, flood))
		close(ended)
		require.Error(t, err, name)
		assert.Less(t, peak.Load(), before.HeapAlloc+most, fmt.Sprint(name, ": ", err))
	}
}
