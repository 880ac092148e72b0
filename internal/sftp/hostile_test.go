package sftp_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	pkgsftp "github.com/pkg/sftp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"stevedore/internal/ingest"
	"stevedore/internal/sftp"
)

// Packet types and status codes of SFTP version 3.
const (
	fxpInit, fxpVersion                  = 1, 2
	fxpOpen, fxpClose, fxpRead, fxpLstat = 3, 4, 5, 7
	fxpFstat, fxpOpendir, fxpReaddir     = 8, 11, 12
	fxpStatus, fxpHandle, fxpData        = 101, 102, 103
	fxpName, fxpAttrs                    = 104, 105

	statusOK, statusEOF, statusFailure = 0, 1, 4
	flagSize, flagMode                 = 1, 4
)

// answer is a reply: its type and its body after the request id. A zero type means no
// reply.
type answer struct {
	kind byte
	body []byte
}

// hostile maps request types to functions that return the reply; the default is "OK".
type hostile map[byte]func() answer

func status(code uint32) func() answer {
	return func() answer { return answer{fxpStatus, join(code, "", "")} }
}

func always(kind byte, parts ...any) func() answer {
	return func() answer { return answer{kind, join(parts...)} }
}

// names returns the replies of READDIR: all entries, then EOF.
func names(entries ...any) func() answer {
	sent := false
	return func() answer {
		if sent {
			return status(statusEOF)()
		}
		sent = true
		return answer{fxpName, join(entries...)}
	}
}

// join encodes uint32, uint64, strings with their lengths, and raw bytes.
func join(parts ...any) []byte {
	var b []byte
	for _, part := range parts {
		switch v := part.(type) {
		case uint32:
			b = binary.BigEndian.AppendUint32(b, v)
		case uint64:
			b = binary.BigEndian.AppendUint64(b, v)
		case string:
			b = append(binary.BigEndian.AppendUint32(b, uint32(len(v))), v...)
		case []byte:
			b = append(b, v...)
		}
	}
	return b
}

func file(size uint64) []byte { return join(uint32(flagSize|flagMode), size, uint32(0o100644)) }

// serve serves SFTP on a channel.
func (h hostile) serve(channel ssh.Channel) {
	for {
		var header [9]byte
		if _, err := io.ReadFull(channel, header[:]); err != nil {
			return
		}
		rest := make([]byte, binary.BigEndian.Uint32(header[:])-5)
		if _, err := io.ReadFull(channel, rest); err != nil {
			return
		}
		reply, id := status(statusOK)(), header[5:9]
		if react := h[header[4]]; react != nil {
			reply = react()
		} else if header[4] == fxpInit {
			reply, id = answer{kind: fxpVersion}, join(uint32(3))
		}
		if reply.kind == 0 {
			continue
		}
		packet := slices.Concat([]byte{reply.kind}, id, reply.body)
		if _, err := channel.Write(join(string(packet))); err != nil {
			return
		}
	}
}

// fakeSSH starts an SSH server in this process that authenticates by config and calls
// serve for each channel.
func fakeSSH(t *testing.T, config *ssh.ServerConfig, serve func(ssh.Channel)) ingest.Server {
	t.Helper()
	return fakeSSHWith(t, config, serve, ssh.DiscardRequests)
}

// fakeSSHWithoutReplies is fakeSSH that never replies to global requests.
func fakeSSHWithoutReplies(t *testing.T, config *ssh.ServerConfig, serve func(ssh.Channel)) ingest.Server {
	t.Helper()
	return fakeSSHWith(t, config, serve, func(requests <-chan *ssh.Request) {
		for range requests { //nolint:revive // no reply is sent
		}
	})
}

func fakeSSHWith(t *testing.T, config *ssh.ServerConfig, serve func(ssh.Channel), requests func(<-chan *ssh.Request)) ingest.Server {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	signer, err := ssh.NewSignerFromKey(private)
	require.NoError(t, err)
	config.AddHostKey(signer)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go serveSSH(conn, config, serve, requests)
		}
	}()
	return ingest.Server{
		UUID: rand.Text(), Name: "acme", Username: "u", RootPath: "/in", MaxParallel: 1, Host: "127.0.0.1",
		Port: listener.Addr().(*net.TCPAddr).Port, HostKeys: []string{string(ssh.MarshalAuthorizedKey(signer.PublicKey()))},
	}
}

func serveSSH(conn net.Conn, config *ssh.ServerConfig, serve func(ssh.Channel), answer func(<-chan *ssh.Request)) {
	defer func() { _ = conn.Close() }()
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go answer(requests)
	for offer := range channels {
		channel, requests, err := offer.Accept()
		if err != nil {
			return
		}
		go func() {
			for request := range requests {
				_ = request.Reply(request.Type == "subsystem", nil)
			}
		}()
		go func() {
			defer func() { _ = channel.Close() }()
			serve(channel)
		}()
	}
}

func password() *ssh.ServerConfig {
	return &ssh.ServerConfig{PasswordCallback: func(_ ssh.ConnMetadata, given []byte) (*ssh.Permissions, error) {
		if string(given) != "pw" {
			return nil, io.ErrClosedPipe
		}
		return nil, nil
	}}
}

// openHostile returns a session on a server with the replies h.
func openHostile(t *testing.T, cfg sftp.Config, h hostile) *sftp.Session {
	t.Helper()
	return open(t, newPool(t, cfg, secrets{Password: []byte("pw")}), fakeSSH(t, password(), h.serve))
}

func TestHostileNames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("n", 5000)
	entries := []any{uint32(12)}
	for _, name := range []string{".", "..", "x/..", "/", "", "../../etc/passwd", "nul\x00.csv", "twice", "twice", "a/b", long, "good.csv"} {
		entries = append(entries, name, "long form", file(7))
	}
	session := openHostile(t, sftp.Config{}, hostile{fxpOpendir: always(fxpHandle, "h"), fxpReaddir: names(entries...)})
	seen, _ := list(t, session, "/in")
	shortened := long[:200] + "...sha256:" + fmt.Sprintf("%x", sha256.Sum256([]byte(long)))[:32]

	rejected := func(name string) string { return seen[name].Rejected }
	assert.ElementsMatch(t, []string{"x/..", "/", "", "../../etc/passwd", "nul\x00.csv", "twice", "a/b", shortened, "good.csv"}, slices.Collect(maps.Keys(seen)))
	for _, name := range []string{"x/..", "/", "../../etc/passwd", "a/b"} {
		assert.Contains(t, rejected(name), "lead out of its folder", "%q", name)
	}
	assert.Contains(t, rejected(""), "not a file name")
	assert.Contains(t, rejected("nul\x00.csv"), "NUL")
	assert.Contains(t, rejected(shortened), "5000 bytes, shortened here")
	assert.Empty(t, rejected("good.csv"))
	assert.Empty(t, rejected("twice"))
}

func TestHostileAttributes(t *testing.T) {
	t.Parallel()
	session := openHostile(t, sftp.Config{}, hostile{
		fxpOpendir: always(fxpHandle, "h"),
		fxpLstat:   always(fxpAttrs, file(1<<63)),
		fxpReaddir: names(uint32(4),
			"huge", "", file(1<<63), "sizeless", "", join(uint32(flagMode), uint32(0o100644)),
			"typeless", "", join(uint32(flagSize|flagMode), uint64(3), uint32(0o644)), "odd", "", join(uint32(flagMode), uint32(0o150000))),
	})
	seen, _ := list(t, session, "/in")
	assert.Contains(t, seen["huge"].Rejected, "impossible size of 9223372036854775808")
	assert.Zero(t, seen["huge"].Size)
	assert.Contains(t, seen["sizeless"].Rejected, "impossible size", "LSTAT reports one")
	assert.Empty(t, seen["typeless"].Rejected)
	assert.Contains(t, seen["odd"].Rejected, "unknown type")

	now, err := session.Stat(deadline(t), "/in/huge")
	require.NoError(t, err)
	assert.Contains(t, now.Rejected, "impossible size")
}

// TestEndlessListings checks that listings and probes of a root folder that cannot be read
// name the cause. Callers take KindInvalid of a probe for an invalid request.
func TestEndlessListings(t *testing.T) {
	t.Parallel()
	n := 0
	news := func() answer { n++; return always(fxpName, uint32(1), fmt.Sprint(n), "", file(1))() }
	for name, test := range map[string]struct {
		readdir       func() answer
		listed, probe ingest.Kind
		message       string
	}{
		"entries": {news, ingest.KindInvalid, ingest.KindServer, "more than 50 entries"},
		"silence": {always(0), ingest.KindTransient, ingest.KindTransient, "sent no data for 4s, the connection was closed; if the server is slow, raise --answer-timeout"},
		"count":   {always(fxpName, uint32(1<<31), "f"), ingest.KindTransient, ingest.KindTransient, "malformed"},
		"flood":   {always(fxpName, make([]byte, 9<<20)), ingest.KindTransient, ingest.KindTransient, "more than 8 MiB in one reply"},
		"deluge":  {always(fxpName, make([]byte, 65<<20)), ingest.KindTransient, ingest.KindTransient, "more than 64 MiB in one reply"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := sftp.Config{MaxEntriesPerFolder: 50, AnswerTimeout: 4 * time.Second}
			pool := newPool(t, cfg, secrets{Password: []byte("pw")})
			server := fakeSSH(t, password(), hostile{fxpOpendir: always(fxpHandle, "h"), fxpReaddir: test.readdir}.serve)
			_, err := open(t, pool, server).List(deadline(t), ingest.ListRequest{}, func(ingest.Observation) error { return nil })
			requireKind(t, err, test.listed)
			assert.Contains(t, ingest.Message(err), test.message)
			_, err = pool.Probe(deadline(t), server)
			requireKind(t, err, test.probe)
			assert.Contains(t, ingest.Message(err), test.message)
		})
	}
}

func TestDeepFoldersEnd(t *testing.T) {
	t.Parallel()
	readdir := func() func() answer {
		sent, n := false, 99
		return func() answer {
			if sent = !sent; sent {
				n++
				return answer{fxpName, join(uint32(1), fmt.Sprint(n), "", join(uint32(flagSize|flagMode), uint64(0), uint32(0o040755)))}
			}
			return status(statusEOF)()
		}
	}
	session := openHostile(t, sftp.Config{}, hostile{fxpOpendir: always(fxpHandle, "h"), fxpReaddir: readdir()})
	seen, _ := list(t, session, "/in")
	require.Len(t, seen, 1)
	for path, at := range seen {
		assert.Equal(t, 64, strings.Count(path, "/"))
		assert.Contains(t, at.Rejected, "beyond the maximum depth")
	}
}

func TestUnreadableFolders(t *testing.T) {
	t.Parallel()
	folder := join(uint32(flagSize|flagMode), uint64(0), uint32(0o040755))
	opened := 0
	h := hostile{fxpReaddir: names(uint32(3), "closed", "", folder, "broken", "", folder, "f", "", file(1))}
	h[fxpOpendir] = func() answer {
		opened++
		return []answer{always(fxpHandle, "h")(), status(3)(), status(statusFailure)()}[opened-1]
	}
	seen, unreadable := list(t, openHostile(t, sftp.Config{}, h), "/in")
	assert.EqualValues(t, 2, unreadable)
	assert.Contains(t, seen, "f")

	_, err := openHostile(t, sftp.Config{}, hostile{fxpOpendir: status(3)}).List(deadline(t), ingest.ListRequest{}, nil)
	requireKind(t, err, ingest.KindPermission, "does not let user \"u\" list its root folder /in")
}

func TestReadsWithoutData(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		read    func() answer
		message string
		refused bool
	}{
		"zero-length data": {always(fxpData, ""), `the server reports "empty DATA reply"`, true},
		"silence":          {always(0), "sent no data for 4s, the connection was closed; if the server is slow, raise --answer-timeout", false},
		"a refusal":        {status(statusFailure), "failed to read /in/f", true},
		"no permission":    {status(3), "let user \"u\" open /in/f but refused to read at byte 0", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			session := openHostile(t, sftp.Config{AnswerTimeout: 4 * time.Second}, hostile{
				fxpLstat: always(fxpAttrs, file(9)), fxpFstat: always(fxpAttrs, file(9)), fxpOpen: always(fxpHandle, "h"), fxpRead: tc.read,
			})
			f, err := session.OpenFile(deadline(t), "/in/f")
			require.NoError(t, err)
			n, err := f.ReadAt(make([]byte, 9), 0)
			assert.Zero(t, n)
			kind := ingest.KindTransient
			if name == "no permission" {
				kind = ingest.KindPermission
			}
			requireKind(t, err, kind, tc.message)
			assert.Equal(t, tc.refused, errors.Is(err, ingest.ErrRefused))
			require.NoError(t, f.Close())
			_, err = session.Stat(deadline(t), "/in/f")
			assert.Equal(t, tc.refused, err == nil, "the connection survives a refusal: %v", err)
		})
	}
}

// delayed replies after delay, or when the test ends.
func delayed(t *testing.T, delay time.Duration, react func() answer) func() answer {
	t.Helper()
	return func() answer {
		select {
		case <-time.After(delay):
		case <-t.Context().Done():
		}
		return react()
	}
}

// TestSlowServers checks that AnswerTimeout applies to each reply, not to their sum.
func TestSlowServers(t *testing.T) {
	t.Parallel()
	const answers = 15
	left := answers
	h := hostile{
		fxpLstat: always(fxpAttrs, file(9)), fxpFstat: always(fxpAttrs, file(9)), fxpOpen: always(fxpHandle, "h"),
		fxpOpendir: always(fxpHandle, "h"),
		fxpRead:    delayed(t, 500*time.Millisecond, always(fxpData, "x")),
	}
	h[fxpReaddir] = delayed(t, 500*time.Millisecond, func() answer {
		if left--; left < 0 {
			return status(statusEOF)()
		}
		return always(fxpName, uint32(1), string(rune('a'+left)), "", file(1))()
	})
	session := openHostile(t, sftp.Config{AnswerTimeout: 7 * time.Second}, h)
	seen, _ := list(t, session, "/in")
	assert.Len(t, seen, answers)

	f, err := session.OpenFile(deadline(t), "/in/f")
	require.NoError(t, err)
	var wg sync.WaitGroup
	for i := range answers { // concurrent requests, sequential replies
		wg.Go(func() {
			_, err := f.ReadAt(make([]byte, 1), int64(i))
			assert.NoError(t, err)
		})
	}
	wg.Wait()
	require.NoError(t, f.Close())
}

func TestShortReads(t *testing.T) {
	t.Parallel()
	sent := 0
	session := openHostile(t, sftp.Config{}, hostile{
		fxpLstat: always(fxpAttrs, file(9)), fxpFstat: always(fxpAttrs, file(9)), fxpOpen: always(fxpHandle, "h"),
		fxpRead: func() answer {
			if sent++; sent > 3 {
				return status(statusEOF)()
			}
			return always(fxpData, "ab")()
		},
	})
	f, err := session.OpenFile(deadline(t), "/in/f")
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	buf := make([]byte, 4)
	n, err := f.ReadAt(buf, 0)
	require.NoError(t, err)
	assert.Equal(t, "abab", string(buf[:n]))
	n, err = f.ReadAt(buf, 4)
	require.Equal(t, io.EOF, err)
	assert.Equal(t, 2, n)
}

func TestReadPermissionDenied(t *testing.T) {
	t.Parallel()
	session := openHostile(t, sftp.Config{}, hostile{fxpLstat: always(fxpAttrs, file(9)), fxpOpen: status(3)})
	_, err := session.OpenFile(deadline(t), "/in/f")
	requireKind(t, err, ingest.KindPermission, "does not let user \"u\" open /in/f")
	_, err = session.Stat(deadline(t), "/in/f")
	require.NoError(t, err, "the connection survives a refusal")
}

func TestKeyboardInteractivePassword(t *testing.T) {
	t.Parallel()
	asked := 0
	config := &ssh.ServerConfig{KeyboardInteractiveCallback: func(_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
		asked++
		answers, err := ask("", "", []string{"Password: "}, []bool{false})
		if err != nil || len(answers) != 1 || answers[0] != "pw" {
			return nil, io.ErrClosedPipe
		}
		return nil, nil
	}}
	server := fakeSSH(t, config, func(c ssh.Channel) {
		if s, err := pkgsftp.NewServer(c); err == nil {
			_ = s.Serve()
		}
	})
	open(t, newPool(t, sftp.Config{}, secrets{Password: []byte("pw")}), server)
	assert.Equal(t, 1, asked)
	_, err := newPool(t, sftp.Config{}, secrets{Password: []byte("no")}).Open(deadline(t), server)
	requireKind(t, err, ingest.KindAuth, "refused keyboard-interactive")
	assert.Equal(t, 2, asked)

	// A refused password is not sent again by another method.
	both := &ssh.ServerConfig{
		KeyboardInteractiveCallback: config.KeyboardInteractiveCallback,
		PasswordCallback:            password().PasswordCallback,
	}
	_, err = newPool(t, sftp.Config{}, secrets{Password: []byte("no")}).Open(deadline(t), fakeSSH(t, both, nil))
	requireKind(t, err, ingest.KindAuth, "refused password")
	assert.Equal(t, 2, asked)
}

func TestLoginWithoutSFTP(t *testing.T) {
	t.Parallel()
	server := fakeSSH(t, password(), func(c ssh.Channel) {}) // the channel ends immediately
	_, err := newPool(t, sftp.Config{}, secrets{Password: []byte("pw")}).Open(deadline(t), server)
	requireKind(t, err, ingest.KindTransient, "opened no SFTP channel")

	for text, message := range map[string]string{
		"Welcome to ACME!\r\n\x1b[2J":          `sends "Welcome to ACME! \x1b[2J" instead of SFTP`,
		"\x00\x00\x00\x05\x02\x00\x00\x00\x06": "no SFTP version 3",
	} {
		server := fakeSSH(t, password(), func(c ssh.Channel) {
			_, _ = io.WriteString(c, text)
			_, _ = io.Copy(io.Discard, c)
		})
		_, err := newPool(t, sftp.Config{}, secrets{Password: []byte("pw")}).Open(deadline(t), server)
		require.ErrorContains(t, err, message)
	}
}
