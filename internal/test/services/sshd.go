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
	// sshdProgram must be run by its absolute path: it starts itself again for
	// every connection.
	sshdProgram = "/usr/sbin/sshd"
	// sshdRuntimeDir is where sshd locks up what needs no rights, if root runs it.
	sshdRuntimeDir = "/run/sshd"
	// sshdPatience bounds how long sshd may take to listen, or to write its log,
	// on a machine that runs all tests at once.
	sshdPatience = 2 * time.Minute
)

// SSHDOptions says how an SSHD differs from the plain one.
type SSHDOptions struct {
	// Password, when not empty, lets a user "partner" log in by it; needs root
	// and libnss-wrapper. Without it the current user logs in by PrivateKeyPEM.
	Password string
	// Config are further lines for sshd_config, e.g. "MaxSessions 1".
	Config []string
}

// SSHD is a real OpenSSH server on the loopback interface that serves one
// folder by SFTP. Its methods fail the test when they cannot do their work.
type SSHD struct {
	// Host and Port are where it listens, User who logs in.
	Host string
	Port int
	User string
	// Password is the one that is right; empty without password log-ins.
	Password string
	// PrivateKeyPEM is a client key that is always accepted.
	PrivateKeyPEM []byte
	// HostKeyLine is the current host key as it is pinned.
	HostKeyLine string
	// Root is the folder to be filled and listed, as an absolute path.
	Root string

	t       testing.TB
	dir     string
	log     string
	wrapper []string // environment with the made-up users, if any

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
	s := &SSHD{Host: "127.0.0.1", Port: FreePort(t), User: current.Username, Password: o.Password, t: t, dir: t.TempDir()}
	s.Root, s.log = filepath.Join(s.dir, "root"), filepath.Join(s.dir, "log")
	require.NoError(t, os.Mkdir(s.Root, 0o755))
	if o.Password != "" {
		s.User = sshdPartner
		s.wrapper = wrapUsers(t, s.dir, o.Password)
	}
	s.makeClientKey()
	s.RotateHostKey()
	s.configure(o)
	t.Cleanup(s.Kill)
	s.Start()
	return s
}

// Server returns the settings to reach it, with the host key pinned.
func (s *SSHD) Server(name, uuid string) ingest.Server {
	return ingest.Server{
		UUID: uuid, Name: name, Host: s.Host, Port: s.Port, Username: s.User, HostKeys: []string{s.HostKeyLine},
		RootPath: s.Root, MaxParallel: 4, AfterIngest: ingest.AfterKeep, Active: true, State: ingest.ServerOK,
	}
}

// Path returns the absolute path of a file below Root.
func (s *SSHD) Path(rel string) string { return s.Root + "/" + rel }

// Write creates a file below Root with its folders. A checksum file is some seconds
// younger: partners write it after its file, tests before, so that no listing shows
// the file alone.
func (s *SSHD) Write(rel string, content []byte) {
	s.t.Helper()
	path := s.Path(rel)
	require.NoError(s.t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(s.t, os.WriteFile(path, content, 0o644))
	if _, sums := ingest.ParseChecksumName(filepath.Base(path)); sums {
		later := time.Now().Add(5 * time.Second)
		require.NoError(s.t, os.Chtimes(path, later, later))
	}
}

// RotateHostKey gives the server another host key; a running one is restarted.
func (s *SSHD) RotateHostKey() {
	s.t.Helper()
	private, public := newSSHKey(s.t)
	require.NoError(s.t, os.WriteFile(filepath.Join(s.dir, "host_key"), private, 0o600))
	s.HostKeyLine = authorizedLine(public)
	if s.running() {
		s.Restart()
	}
}

// Start starts a stopped server on the same port and waits until it listens.
func (s *SSHD) Start() {
	s.t.Helper()
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(s.t, err)
	before, err := log.Stat()
	require.NoError(s.t, err)
	defer func() { _ = log.Close() }() // sshd has its own descriptor
	process := exec.Command(sshdProgram, "-D", "-e", "-f", filepath.Join(s.dir, "sshd_config"))
	process.Stderr = log
	process.Env = append(os.Environ(), s.wrapper...)
	require.NoError(s.t, process.Start())
	s.mu.Lock()
	s.process = process
	s.mu.Unlock()
	// A trial connection would be one of Sessions for a while, and take one of
	// MaxStartups.
	s.await("sshd does not listen", func() bool {
		return strings.Contains(s.Log()[before.Size():], "Server listening on "+s.Host)
	})
}

// Stop ends the listener in an orderly way; connections stay.
func (s *SSHD) Stop() { s.end(false, syscall.SIGTERM) }

// Kill ends the listener and all its connections at once.
func (s *SSHD) Kill() { s.end(true, os.Kill) }

// Restart kills everything and starts again on the same port.
func (s *SSHD) Restart() {
	s.t.Helper()
	s.Kill()
	s.Start()
}

// KillSessions ends all connections; the listener stays.
func (s *SSHD) KillSessions() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		signalAll(descendants(s.process.Process.Pid), os.Kill)
	}
}

// Pid returns the process id of the listener, whose descendants serve the
// connections; 0 when it is stopped.
func (s *SSHD) Pid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return 0
	}
	return s.process.Process.Pid
}

// Sessions returns the process ids that serve connections, to be signalled.
func (s *SSHD) Sessions() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return nil
	}
	return descendants(s.process.Process.Pid)
}

// Freeze stops the listener and all connections in the middle of what they do;
// Thaw lets them go on.
func (s *SSHD) Freeze() { s.signal(syscall.SIGSTOP) }

// Thaw undoes Freeze.
func (s *SSHD) Thaw() { s.signal(syscall.SIGCONT) }

func (s *SSHD) signal(how os.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		signalAll(append(descendants(s.process.Process.Pid), s.process.Process.Pid), how)
	}
}

// Log returns what the server has logged so far, at level DEBUG1.
func (s *SSHD) Log() string {
	text, err := os.ReadFile(s.log)
	require.NoError(s.t, err)
	return string(text)
}

// AwaitLog waits until the log holds text: sshd writes it in its own time.
func (s *SSHD) AwaitLog(text string) { s.AwaitLogged(1, text) }

// AwaitLogged waits until the log holds text at least times times.
func (s *SSHD) AwaitLogged(times int, text string) {
	s.t.Helper()
	s.await(fmt.Sprintf("the log does not have %q %d times", text, times), func() bool {
		return strings.Count(s.Log(), text) >= times
	})
}

func (s *SSHD) running() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process != nil
}

func (s *SSHD) end(sessions bool, how os.Signal) {
	s.mu.Lock()
	process := s.process
	s.process = nil
	s.mu.Unlock()
	if process == nil {
		return
	}
	var children []int
	if sessions {
		// A connection that comes now would outlive the listener.
		_ = process.Process.Signal(syscall.SIGSTOP)
		children = descendants(process.Process.Pid)
	}
	_ = process.Process.Signal(how)
	signalAll(children, how)
	_ = process.Wait() // killed on purpose: its status says nothing
	s.await("the processes of connections do not end", func() bool { return !slices.ContainsFunc(children, running) })
}

func (s *SSHD) await(what string, condition func() bool) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), sshdPatience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-ctx.Done():
			s.t.Fatalf("%s within %s; its log:\n%s", what, sshdPatience, s.Log())
		case <-tick.C:
		}
	}
}

func (s *SSHD) makeClientKey() {
	s.t.Helper()
	private, public := newSSHKey(s.t)
	s.PrivateKeyPEM = private
	require.NoError(s.t, os.WriteFile(filepath.Join(s.dir, "authorized_keys"), []byte(authorizedLine(public)+"\n"), 0o600))
}

func (s *SSHD) configure(o SSHDOptions) {
	s.t.Helper()
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
	// Of all keywords this one alone may not come twice.
	if !strings.Contains(strings.Join(o.Config, "\n"), "Subsystem ") {
		lines = append(lines, "Subsystem sftp internal-sftp")
	}
	// sshd takes the first of contradicting lines, so that the test's win.
	text := strings.Join(append(append([]string{}, o.Config...), lines...), "\n") + "\n"
	require.NoError(s.t, os.WriteFile(filepath.Join(s.dir, "sshd_config"), []byte(text), 0o600))
}

func authorizedLine(key ssh.PublicKey) string {
	return string(bytes.TrimSpace(ssh.MarshalAuthorizedKey(key)))
}
