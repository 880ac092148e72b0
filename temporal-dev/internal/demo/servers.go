package demo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"stevedore/temporal-dev/internal/ports"
	"stevedore/temporal-dev/internal/proc"
	"stevedore/temporal-dev/internal/stack"
)

// server is one demo SFTP server: OpenSSH, run by the current user.
type server struct {
	name string
	dir  string // keys and configuration
	root string // served folder
	port int
	user string
}

// startServer starts the server unless it runs since an earlier demo.
func startServer(ctx context.Context, s *stack.Stack, sshd, name string) (server, error) {
	me, err := user.Current()
	if err != nil {
		return server{}, err
	}
	dir := filepath.Join(s.Dir, "demo", name)
	v := server{name: name, dir: dir, root: filepath.Join(dir, "files"), user: me.Username}
	if err := os.MkdirAll(v.root, 0o755); err != nil {
		return v, err
	}
	if err := errors.Join(v.makeKey("host_key"), v.makeKey("client_key"), v.choosePort()); err != nil {
		return v, err
	}
	process := "sshd-" + name
	if s.Pid(process) == 0 {
		if err := v.start(s, sshd, process); err != nil {
			return v, err
		}
	}
	return v, v.await(ctx, s, process)
}

// makeKey creates an ed25519 key pair unless it exists.
func (v server) makeKey(name string) error {
	path := filepath.Join(v.dir, name)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "stevedore-demo", "-f", path).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ssh-keygen: %w: %s", err, out)
	}
	return nil
}

// choosePort chooses a port and keeps it over restarts, because the server is registered
// with it.
func (v *server) choosePort() error {
	path := filepath.Join(v.dir, "port")
	if text, err := os.ReadFile(path); err == nil {
		v.port, err = strconv.Atoi(strings.TrimSpace(string(text)))
		return err
	}
	chosen, err := ports.Choose(0)
	if err != nil {
		return err
	}
	v.port = chosen[0]
	return os.WriteFile(path, []byte(strconv.Itoa(v.port)+"\n"), 0o644)
}

func (v server) start(s *stack.Stack, sshd, process string) error {
	if os.Geteuid() == 0 { // required by sshd when run by root; packages create it on the start of their service
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			return err
		}
	}
	in := func(name string) string { return filepath.Join(v.dir, name) }
	conf := strings.Join([]string{
		"ListenAddress " + ports.Loopback, "Port " + strconv.Itoa(v.port),
		"HostKey " + in("host_key"), "PidFile none", "UsePAM no", "StrictModes no",
		"AuthorizedKeysFile " + in("client_key.pub"), "PasswordAuthentication no", "KbdInteractiveAuthentication no",
		"PermitRootLogin yes", "AllowUsers " + v.user, "LogLevel INFO",
		"Subsystem sftp internal-sftp", "ForceCommand internal-sftp", "AllowTcpForwarding no", "",
	}, "\n")
	if err := os.WriteFile(in("sshd_config"), []byte(conf), 0o600); err != nil {
		return err
	}
	return s.Start(proc.Spec{Name: process, Path: sshd, Args: []string{"-D", "-e", "-f", in("sshd_config")}, Extra: true})
}

func (v server) await(ctx context.Context, s *stack.Stack, process string) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", ports.Addr(v.port))
		if err == nil {
			_ = conn.Close()
			switch s.PortOwner(process, v.port) {
			case proc.OwnerSelf, proc.OwnerUnknown:
				return nil
			case proc.OwnerNone, proc.OwnerOther:
				err = fmt.Errorf("another program listens on port %d", v.port)
			}
		}
		if s.Pid(process) == 0 || ctx.Err() != nil {
			return fmt.Errorf("%s does not start: %w; the end of %s:\n%s", process, err, s.Log(process), s.Tail(process, 10))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// hostKey returns the public host key as one line.
func (v server) hostKey() (string, error) {
	text, err := os.ReadFile(filepath.Join(v.dir, "host_key.pub"))
	fields := strings.Fields(string(text))
	if err == nil && len(fields) < 2 {
		err = fmt.Errorf("no key in %s", v.dir)
	}
	if err != nil {
		return "", err
	}
	return fields[0] + " " + fields[1], nil
}
