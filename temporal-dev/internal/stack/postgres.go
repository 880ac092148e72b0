package stack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"stevedore/temporal-dev/internal/ports"
	"stevedore/temporal-dev/internal/proc"
)

// postgres is a private cluster. PostgreSQL refuses to run as root; then it runs as the
// user postgres of its package.
func (s *Stack) postgres() part {
	return part{
		name: "postgres",
		prepare: func(ctx context.Context) (proc.Spec, error) {
			uid, gid, err := postgresUser()
			if err != nil {
				return proc.Spec{}, err
			}
			if err := s.initCluster(ctx, uid, gid); err != nil {
				return proc.Spec{}, err
			}
			return proc.Spec{
				Path: s.postgresTool("postgres"), Args: s.postgresArgs(), Dir: s.addr.PostgresDir, UID: uid, GID: gid,
				StopSignal: syscall.SIGINT, // fast shutdown: does not wait for clients
			}, nil
		},
		ports: []int{s.addr.Postgres},
		ready: func(ctx context.Context) error {
			return s.command(ctx, nil, s.postgresTool("pg_isready"), "-q", "-h", ports.Loopback, "-p", strconv.Itoa(s.addr.Postgres))
		},
		after: s.createDatabase,
	}
}

// durableVariable enables fsync in private stacks, for measurements.
const durableVariable = "STEVEDORE_TEST_DURABLE"

func (s *Stack) postgresTool(name string) string { return filepath.Join(s.programs.PostgresBin, name) }

func (s *Stack) postgresArgs() []string {
	args := []string{
		"-D", s.cluster(), "-h", ports.Loopback, "-p", strconv.Itoa(s.addr.Postgres),
		// No socket file: all clients use TCP, and its path is limited to 107 bytes, which
		// a deep checkout exceeds.
		"-c", "unix_socket_directories=",
		// Many tests run concurrently, each with the pools of several processes.
		"-c", "max_connections=800", "-c", "logging_collector=off",
	}
	if s.Private && os.Getenv(durableVariable) == "" {
		// A private stack must survive a kill -9 of any process, but no power cut.
		args = append(args, "-c", "fsync=off", "-c", "full_page_writes=off")
	}
	return args
}

func (s *Stack) cluster() string { return filepath.Join(s.addr.PostgresDir, "data") }

func postgresUser() (uid, gid uint32, err error) {
	if os.Geteuid() != 0 {
		return 0, 0, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return 0, 0, fmt.Errorf("PostgreSQL does not run as root and there is no user postgres: install the postgresql package: %w", err)
	}
	id, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return 0, 0, err
	}
	group, err := strconv.ParseUint(u.Gid, 10, 32)
	return uint32(id), uint32(group), err
}

// choosePostgresDir chooses the folder of the cluster, once. The user postgres cannot
// reach a checkout below a folder such as /root.
func (s *Stack) choosePostgresDir() error {
	if s.addr.PostgresDir != "" {
		return nil
	}
	s.addr.PostgresDir = filepath.Join(s.Dir, "postgres")
	if os.Geteuid() == 0 && !reachable(s.Dir) {
		sum := sha256.Sum256([]byte(s.Dir))
		s.addr.PostgresDir = filepath.Join("/var/tmp", "stevedore-postgres-"+hex.EncodeToString(sum[:6]))
	}
	return nil
}

// reachable reports whether all users may enter the folder and its parents.
func reachable(dir string) bool {
	for ; dir != "/"; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm()&0o001 == 0 {
			return false
		}
	}
	return true
}

// initCluster creates the cluster unless it exists. initdb writes PG_VERSION early, so it
// runs in a draft folder that is renamed when complete.
func (s *Stack) initCluster(ctx context.Context, uid, gid uint32) error {
	if _, err := os.Stat(filepath.Join(s.cluster(), "PG_VERSION")); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	draft := s.cluster() + ".new"
	if err := errors.Join(os.RemoveAll(draft), os.MkdirAll(s.addr.PostgresDir, 0o755)); err != nil {
		return err
	}
	password := filepath.Join(s.addr.PostgresDir, "password")
	if err := os.WriteFile(password, []byte(s.addr.PostgresPassword), 0o600); err != nil {
		return err
	}
	defer func() { _ = os.Remove(password) }()
	init := exec.CommandContext(ctx, s.postgresTool("initdb"), "-D", draft, "-U", "stevedore", "--pwfile", password,
		"-A", "scram-sha-256", "-E", "UTF8", "--locale", "C.UTF-8", "--no-sync")
	init.Env, init.Dir = s.Environ(), s.addr.PostgresDir
	if uid != 0 {
		if err := errors.Join(os.Chown(s.addr.PostgresDir, int(uid), int(gid)), os.Chown(password, int(uid), int(gid))); err != nil {
			return err
		}
		init.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid}}
	}
	if out, err := init.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	return os.Rename(draft, s.cluster())
}

// createDatabase creates the database unless it exists. It retries, because pg_isready
// succeeds a moment before connections are accepted.
func (s *Stack) createDatabase(ctx context.Context) error {
	env := []string{"PGPASSWORD=" + s.addr.PostgresPassword}
	at := []string{"-h", ports.Loopback, "-p", strconv.Itoa(s.addr.Postgres), "-U", "stevedore"}
	query := append([]string{"-d", "stevedore", "-XAtc", "SELECT 1"}, at...)
	create := append([]string{"stevedore"}, at...)
	var err error
	for range 50 {
		if s.command(ctx, env, s.postgresTool("psql"), query...) == nil {
			return nil
		}
		if err = s.command(ctx, env, s.postgresTool("createdb"), create...); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
	return err
}
