package services

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"stevedore/internal/ingest"
)

const (
	// sshdProgram is absolute because sshd executes itself for every connection.
	sshdProgram = "/usr/sbin/sshd"
	// sshdRuntimeDir is the privilege separation folder of sshd when run by root.
	sshdRuntimeDir = "/run/sshd"
	// sshdTimeout bounds the start of sshd and its log writes, on a machine that runs
	// all tests.
	sshdTimeout = 2 * time.Minute
)

// SSHDOptions configures an SSHD.
type SSHDOptions struct {
	// Password, if not empty, enables password login for the user "partner". It needs
	// root and libnss-wrapper. Otherwise the current user logs in with PrivateKeyPEM.
	Password string
	// Config holds further lines of sshd_config, e.g. "MaxSessions 1".
	Config []string
}

// SSHD is an OpenSSH server on the loopback interface that serves one folder by SFTP.
// Methods with a test fail it on errors.
type SSHD struct {
	Host string
	Port int
	User string
	// Password is the correct password; empty without password login.
	Password string
	// PrivateKeyPEM is a client key that is always accepted.
	PrivateKeyPEM []byte
	// HostKeyLine is the current host key in the format of pinned keys.
	HostKeyLine string
	// Root is the absolute path of the served folder.
	Root string

	dir     string
	log     string
	wrapper []string // environment with the virtual user, if any

	mu      sync.Mutex
	process *exec.Cmd
}

// StartSSHD starts a server on a free port and stops it when the test ends.
func StartSSHD(t testing.TB, o SSHDOptions) *SSHD {
	t.Helper()
	if testing.Short() {
		t.Skip("needs OpenSSH: not under -short")
	}
	if _, err := os.Stat(sshdProgram); err != nil {
		t.Fatalf("%s is missing: install openssh-server", sshdProgram)
	}
	if os.Geteuid() == 0 {
		require.NoError(t, os.MkdirAll(sshdRuntimeDir, 0o755))
	}
	current, err := user.Current()
	require.NoError(t, err)
	s := &SSHD{Host: "127.0.0.1", Port: FreePort(t), User: current.Username, Password: o.Password, dir: t.TempDir()}
	s.Root, s.log = filepath.Join(s.dir, "root"), filepath.Join(s.dir, "log")
	require.NoError(t, os.Mkdir(s.Root, 0o755))
	if o.Password != "" {
		s.User = sshdPartner
		s.wrapper = wrapUsers(t, s.dir, o.Password)
	}
	s.makeClientKey(t)
	s.RotateHostKey(t)
	s.configure(t, o)
	t.Cleanup(func() { s.Kill(t) })
	s.Start(t)
	return s
}

// Server returns the settings to connect to it, with the host key pinned.
func (s *SSHD) Server(name, uuid string) ingest.Server {
	return ingest.Server{
		UUID: uuid, Name: name, Host: s.Host, Port: s.Port, Username: s.User, HostKeys: []string{s.HostKeyLine},
		RootPath: s.Root, MaxParallel: 4, AfterIngest: ingest.AfterKeep, Active: true, State: ingest.ServerOK,
	}
}

// Path returns the absolute path of a file below Root.
func (s *SSHD) Path(rel string) string { return s.Root + "/" + rel }

// Write creates a file below Root with its folders. A checksum file gets an mtime a few
// seconds later: partners write it after its file, but tests write it first, so that no
// listing shows the file without it.
func (s *SSHD) Write(t testing.TB, rel string, content []byte) {
	t.Helper()
	path := s.Path(rel)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, content, 0o644))
	if _, sums := ingest.ParseChecksumName(filepath.Base(path)); sums {
		later := time.Now().Add(5 * time.Second)
		require.NoError(t, os.Chtimes(path, later, later))
	}
}

// RotateHostKey replaces the host key and restarts a running server.
func (s *SSHD) RotateHostKey(t testing.TB) {
	t.Helper()
	private, public := newSSHKey(t)
	require.NoError(t, os.WriteFile(filepath.Join(s.dir, "host_key"), private, 0o600))
	s.HostKeyLine = authorizedLine(public)
	if s.running() {
		s.Restart(t)
	}
}

// Start starts a stopped server on the same port and waits until it listens.
func (s *SSHD) Start(t testing.TB) {
	t.Helper()
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	before, err := log.Stat()
	require.NoError(t, err)
	defer func() { _ = log.Close() }() // sshd has its own descriptor
	process := exec.Command(sshdProgram, "-D", "-e", "-f", filepath.Join(s.dir, "sshd_config"))
	process.Stderr = log
	process.Env = append(os.Environ(), s.wrapper...)
	require.NoError(t, process.Start())
	s.mu.Lock()
	s.process = process
	s.mu.Unlock()
	// A trial connection would count as one of Sessions and MaxStartups for a while.
	s.await(t, "sshd does not listen", func() bool {
		return strings.Contains(s.Log(t)[before.Size():], "Server listening on "+s.Host)
	})
}

// Stop terminates the listener and keeps connections.
func (s *SSHD) Stop(t testing.TB) { s.end(t, false, syscall.SIGTERM) }

// Kill kills the listener and all connections.
func (s *SSHD) Kill(t testing.TB) { s.end(t, true, os.Kill) }

// Restart kills the listener and all connections, and starts again on the same port.
func (s *SSHD) Restart(t testing.TB) {
	t.Helper()
	s.Kill(t)
	s.Start(t)
}

// KillSessions kills all connections and keeps the listener.
func (s *SSHD) KillSessions() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		signalAll(descendants(s.process.Process.Pid), os.Kill)
	}
}

// Pid returns the process id of the listener, whose descendants serve the connections;
// 0 if it is stopped.
func (s *SSHD) Pid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return 0
	}
	return s.process.Process.Pid
}

// Sessions returns the ids of the processes that serve connections.
func (s *SSHD) Sessions() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return nil
	}
	return descendants(s.process.Process.Pid)
}

// Freeze suspends the listener and all connections with SIGSTOP until Thaw.
func (s *SSHD) Freeze() { s.signal(syscall.SIGSTOP) }

// Thaw resumes a frozen server.
func (s *SSHD) Thaw() { s.signal(syscall.SIGCONT) }

func (s *SSHD) signal(how os.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		signalAll(append(descendants(s.process.Process.Pid), s.process.Process.Pid), how)
	}
}

// Log returns the server's log so far, at level DEBUG1.
func (s *SSHD) Log(t testing.TB) string {
	text, err := os.ReadFile(s.log)
	require.NoError(t, err)
	return string(text)
}

// AwaitLog waits until the log contains text.
func (s *SSHD) AwaitLog(t testing.TB, text string) { s.AwaitLogged(t, 1, text) }

// AwaitLogged waits until the log contains text at least times times.
func (s *SSHD) AwaitLogged(t testing.TB, times int, text string) {
	t.Helper()
	s.await(t, fmt.Sprintf("the log does not have %q %d times", text, times), func() bool {
		return strings.Count(s.Log(t), text) >= times
	})
}

func (s *SSHD) running() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process != nil
}

func (s *SSHD) end(t testing.TB, sessions bool, how os.Signal) {
	s.mu.Lock()
	process := s.process
	s.process = nil
	s.mu.Unlock()
	if process == nil {
		return
	}
	var children []int
	if sessions {
		// A connection accepted from now on would outlive the listener.
		_ = process.Process.Signal(syscall.SIGSTOP)
		children = descendants(process.Process.Pid)
	}
	_ = process.Process.Signal(how)
	signalAll(children, how)
	_ = process.Wait() // the exit status of a killed process is irrelevant
	s.await(t, "the processes of connections do not end", func() bool { return !slices.ContainsFunc(children, running) })
}

func (s *SSHD) await(t testing.TB, what string, condition func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), sshdTimeout)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-ctx.Done():
			t.Fatalf("%s within %s; its log:\n%s", what, sshdTimeout, s.Log(t))
		case <-tick.C:
		}
	}
}

func (s *SSHD) makeClientKey(t testing.TB) {
	t.Helper()
	private, public := newSSHKey(t)
	s.PrivateKeyPEM = private
	require.NoError(t, os.WriteFile(filepath.Join(s.dir, "authorized_keys"), []byte(authorizedLine(public)+"\n"), 0o600))
}

func (s *SSHD) configure(t testing.TB, o SSHDOptions) {
	t.Helper()
	passwords := "no"
	if o.Password != "" {
		passwords = "yes"
	}
	lines := []string{
		fmt.Sprintf("Port %d", s.Port), "ListenAddress " + s.Host,
		"HostKey " + filepath.Join(s.dir, "host_key"),
		"AuthorizedKeysFile " + filepath.Join(s.dir, "authorized_keys"),
		"PidFile none", "StrictModes no", "UsePAM no", "UseDNS no", "PermitRootLogin yes", "LogLevel DEBUG1",
		"PasswordAuthentication " + passwords, "KbdInteractiveAuthentication no",
	}
	// Subsystem must not be repeated.
	if !strings.Contains(strings.Join(o.Config, "\n"), "Subsystem ") {
		lines = append(lines, "Subsystem sftp internal-sftp")
	}
	// sshd uses the first value of a keyword, so the test's lines take precedence.
	text := strings.Join(append(append([]string{}, o.Config...), lines...), "\n") + "\n"
	require.NoError(t, os.WriteFile(filepath.Join(s.dir, "sshd_config"), []byte(text), 0o600))
}

func authorizedLine(key ssh.PublicKey) string {
	return string(bytes.TrimSpace(ssh.MarshalAuthorizedKey(key)))
}
