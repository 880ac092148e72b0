package sftp_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/sftp"
	"stevedore/internal/test/services"
)

// requireLogins checks the number of accepted logins. sshd writes its log
// asynchronously.
func (b *sshdFixture) requireLogins(t *testing.T, n int) {
	t.Helper()
	const text = "Accepted publickey for"
	b.AwaitLogged(t, n, text)
	require.Equal(t, n, strings.Count(b.Log(t), text), "logins, see the log:\n%s", b.Log(t))
}

func TestPoolReusesConnections(t *testing.T) {
	t.Parallel()
	b := newSSHDFixture(t, sftp.Config{}, services.SSHDOptions{})
	for range 3 {
		session := b.open(t)
		_, err := session.Stat(deadline(t), b.Path("gone"))
		requireKind(t, err, ingest.KindNotFound)
		require.NoError(t, session.Close())
		require.NoError(t, session.Close(), "Close is idempotent")
	}
	b.requireLogins(t, 1)

	// Other folders and globs use the same connection, other settings do not.
	b.server.RootPath = "/"
	require.NoError(t, b.open(t).Close())
	b.requireLogins(t, 1)
	b.server.PasswordEncrypted = []byte("another")
	require.NoError(t, b.open(t).Close())
	b.requireLogins(t, 2)
}

func TestPoolBoundsConnections(t *testing.T) {
	t.Parallel()
	b := newSSHDFixture(t, sftp.Config{}, services.SSHDOptions{})
	b.server.MaxParallel = 2
	first, second, third := b.open(t), b.open(t), b.open(t)

	ctx, cancel := context.WithCancel(t.Context())
	waiting := make(chan error, 1)
	go func() {
		_, err := b.pool.Open(ctx, b.server)
		waiting <- err
	}()
	cancel()
	err := <-waiting
	requireKind(t, err, ingest.KindTransient, "one of its 3 sessions")
	require.ErrorIs(t, err, context.Canceled)

	go func() {
		_, err := b.pool.Open(context.Background(), b.server)
		waiting <- err
	}()
	require.NoError(t, first.Close())
	require.NoError(t, <-waiting)
	require.NoError(t, second.Close())
	require.NoError(t, third.Close())
	b.requireLogins(t, 3)
}

func TestPoolClosesIdleConnections(t *testing.T) {
	t.Parallel()
	b := newSSHDFixture(t, sftp.Config{IdleTimeout: 50 * time.Millisecond}, services.SSHDOptions{})
	require.NoError(t, b.open(t).Close())
	require.Eventually(t, func() bool { return len(b.Sessions()) == 0 }, time.Minute, 10*time.Millisecond)
}

func TestPoolDetectsEndedConnections(t *testing.T) {
	t.Parallel()
	b := newSSHDFixture(t, sftp.Config{}, services.SSHDOptions{})
	require.NoError(t, b.open(t).Close())
	b.Restart(t)
	_, err := b.open(t).Stat(deadline(t), b.Root)
	require.NoError(t, err)
}

func TestPoolPingsIdleConnections(t *testing.T) {
	t.Parallel()
	b := newSSHDFixture(t, sftp.Config{KeepaliveInterval: 5 * time.Second, FreshUse: time.Nanosecond}, services.SSHDOptions{})
	require.NoError(t, b.open(t).Close())
	pids := b.Sessions()
	for _, pid := range pids {
		require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	}
	_, err := b.open(t).Stat(deadline(t), b.Root)
	require.NoError(t, err)
	b.requireLogins(t, 2)
	for _, pid := range pids {
		require.NoError(t, syscall.Kill(pid, syscall.SIGCONT))
	}
}

func TestClosedPool(t *testing.T) {
	t.Parallel()
	b := newSSHDFixture(t, sftp.Config{}, services.SSHDOptions{})
	session := b.open(t)
	require.NoError(t, b.pool.Close())
	_, err := session.Stat(deadline(t), b.Root)
	requireKind(t, err, ingest.KindTransient)
	_, err = b.pool.Open(deadline(t), b.server)
	requireKind(t, err, ingest.KindTransient, "being closed")
}

// readAll reads a file like a transfer: by concurrent reads of 32 KiB.
func readAll(f io.ReaderAt, size int) ([]byte, error) {
	const chunk, readers = 32 << 10, 16
	got, offsets := make([]byte, size), make(chan int)
	var (
		wg   sync.WaitGroup
		errs = make([]error, readers)
	)
	for i := range readers {
		wg.Go(func() {
			for off := range offsets {
				if _, err := f.ReadAt(got[off:min(off+chunk, size)], int64(off)); err != nil && errs[i] == nil {
					errs[i] = err
				}
			}
		})
	}
	for off := 0; off < size; off += chunk {
		offsets <- off
	}
	close(offsets)
	wg.Wait()
	return got, errors.Join(errs...)
}

func random(size int) []byte {
	content := make([]byte, size)
	_, _ = rand.Read(content) // never fails
	return content
}

func TestConcurrentReadsThroughRekeying(t *testing.T) {
	t.Parallel()
	b := newSSHDFixture(t, sftp.Config{}, services.SSHDOptions{Config: []string{"RekeyLimit 1M"}})
	content := random(8<<20 + 7)
	b.Write(t, "f", content)
	f, err := b.open(t).OpenFile(deadline(t), b.Path("f"))
	require.NoError(t, err)
	got, err := readAll(f, len(content))
	require.NoError(t, err)
	assert.True(t, bytes.Equal(content, got))
	require.NoError(t, f.Close())
	_, err = f.ReadAt(got[:1], 0)
	require.ErrorIs(t, err, os.ErrClosed)
}

// TestKilledWhileReading checks that a lost connection is never reported as io.EOF.
func TestKilledWhileReading(t *testing.T) {
	t.Parallel()
	for name, config := range map[string][]string{
		"sshd":              nil,
		"sftp-server alone": {"Subsystem sftp /usr/lib/openssh/sftp-server"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newSSHDFixture(t, sftp.Config{}, services.SSHDOptions{Config: config})
			b.Write(t, "f", random(1<<20))
			session := b.open(t)
			f, err := session.OpenFile(deadline(t), b.Path("f"))
			require.NoError(t, err)
			_, err = f.ReadAt(make([]byte, 32<<10), 0)
			require.NoError(t, err)
			if config == nil {
				b.Restart(t)
			} else {
				pids := b.Sessions()
				require.NoError(t, syscall.Kill(pids[len(pids)-1], syscall.SIGKILL))
			}
			for range 3 {
				_, err = f.ReadAt(make([]byte, 32<<10), 32<<10)
				requireKind(t, err, ingest.KindTransient)
				require.NotErrorIs(t, err, io.EOF)
			}
			_, err = session.Stat(deadline(t), b.Path("f"))
			requireKind(t, err, ingest.KindTransient)
			require.NoError(t, f.Close())
			require.NoError(t, session.Close())

			f, err = b.open(t).OpenFile(deadline(t), b.Path("f"))
			require.NoError(t, err)
			_, err = readAll(f, 1<<20)
			require.NoError(t, err)
			require.NoError(t, f.Close())
		})
	}
}

func TestKeepaliveDetectsStoppedServer(t *testing.T) {
	t.Parallel()
	b := newSSHDFixture(t, sftp.Config{KeepaliveInterval: 2 * time.Second, AnswerTimeout: time.Hour}, services.SSHDOptions{})
	b.Write(t, "f", random(100))
	session := b.open(t)
	f, err := session.OpenFile(deadline(t), b.Path("f"))
	require.NoError(t, err)
	pids := b.Sessions()
	for _, pid := range pids {
		require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	}
	_, err = f.ReadAt(make([]byte, 100), 0)
	requireKind(t, err, ingest.KindTransient, "lost the connection")
	for _, pid := range pids {
		require.NoError(t, syscall.Kill(pid, syscall.SIGCONT))
	}
	require.NoError(t, f.Close())
	require.NoError(t, session.Close())
	b.open(t)
}

func TestContextEndsReads(t *testing.T) {
	t.Parallel()
	reading := make(chan struct{}, 8)
	session := openHostile(t, sftp.Config{}, hostile{
		fxpLstat: always(fxpAttrs, file(9)), fxpFstat: always(fxpAttrs, file(9)), fxpOpen: always(fxpHandle, "h"),
		fxpRead: func() answer { reading <- struct{}{}; return answer{} },
	})
	ctx, cancel := context.WithCancel(t.Context())
	f, err := session.OpenFile(ctx, "/in/f")
	require.NoError(t, err)
	failed := make(chan error, 1)
	go func() {
		_, err := f.ReadAt(make([]byte, 9), 0)
		failed <- err
	}()
	<-reading
	cancel()
	err = <-failed
	requireKind(t, err, ingest.KindTransient, "the operation was canceled")
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, f.Close())
}

func TestCloseEndsHangingReads(t *testing.T) {
	t.Parallel()
	reading := make(chan struct{}, 8)
	session := openHostile(t, sftp.Config{}, hostile{
		fxpLstat: always(fxpAttrs, file(9)), fxpFstat: always(fxpAttrs, file(9)), fxpOpen: always(fxpHandle, "h"),
		fxpRead: func() answer { reading <- struct{}{}; return answer{} },
	})
	f, err := session.OpenFile(deadline(t), "/in/f")
	require.NoError(t, err)
	failed := make(chan error, 1)
	go func() {
		_, err := f.ReadAt(make([]byte, 9), 0)
		failed <- err
	}()
	<-reading
	require.NoError(t, f.Close())
	requireKind(t, <-failed, ingest.KindTransient)
}

func TestServerWithOldSignaturesOnly(t *testing.T) {
	t.Parallel()
	b := newSSHDFixture(t, sftp.Config{}, services.SSHDOptions{Config: []string{"HostKeyAlgorithms ssh-rsa", "HostKey " + rsaKey(t)}})
	_, err := b.pool.Open(deadline(t), b.server)
	requireKind(t, err, ingest.KindHostKey, "offers no secure host key")
}

func TestRSAHostKeyIsPinnedWithSHA2(t *testing.T) {
	t.Parallel()
	path := rsaKey(t)
	b := newSSHDFixture(t, sftp.Config{}, services.SSHDOptions{Config: []string{"HostKey " + path}})
	line, err := os.ReadFile(path + ".pub")
	require.NoError(t, err)
	// The server also has an ed25519 key; the pin selects the presented one.
	b.server.HostKeys = []string{string(line)}
	b.open(t)
}

func TestOneSessionIsEnough(t *testing.T) {
	t.Parallel()
	b := newSSHDFixture(t, sftp.Config{}, services.SSHDOptions{Config: []string{"MaxSessions 1"}})
	b.Write(t, "f", []byte("x"))
	session := b.open(t)
	seen, _ := list(t, session, b.Root)
	assert.Contains(t, seen, "f")
	f, err := session.OpenFile(deadline(t), b.Path("f"))
	require.NoError(t, err)
	require.NoError(t, f.Close())
}
