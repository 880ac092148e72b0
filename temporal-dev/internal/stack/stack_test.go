package stack

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/shirou/gopsutil/v3/process"

	"stevedore/temporal-dev/internal/ports"
)

// checkout is the repository with the built tools.
func checkout(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("starts real services: not under -short")
	}
	repo, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, tool := range []string{"temporal", "minio", "devstack"} {
		if _, err := os.Stat(filepath.Join(repo, "bin", tool)); err != nil {
			t.Fatalf("bin/%s is not built: run `make test`", tool)
		}
	}
	return repo
}

// openDir creates a folder that the user postgres can reach.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "devstack-test-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// below returns the processes that belong to the folder, by command line, environment or
// working directory.
func below(t *testing.T, dir string) (found []string) {
	t.Helper()
	all, err := process.Processes()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		line, _ := p.Cmdline()
		environ, _ := p.Environ()
		at, _ := p.Cwd()
		if int(p.Pid) != os.Getpid() && strings.Contains(strings.Join(append(environ, line, at), "\n"), dir) {
			found = append(found, fmt.Sprint(p.Pid, " ", line))
		}
	}
	return found
}

func requireNoProcesses(t *testing.T, dir string) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for len(below(t, dir)) > 0 {
		if time.Now().After(deadline) {
			t.Fatalf("still running:\n%s", strings.Join(below(t, dir), "\n"))
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// TestUpRepairDown starts, repairs and stops a stack while every well-known port is in
// use.
func TestUpRepairDown(t *testing.T) {
	repo, dir := checkout(t), openDir(t)
	for _, port := range []int{5432, 5672, 7233, 8233, 9000} {
		if l, err := net.Listen("tcp", ports.Addr(port)); err == nil {
			t.Cleanup(func() { _ = l.Close() })
		}
	}
	ctx := context.Background()
	s, err := Open(repo, dir, false, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Down() })
	if started, err := s.Up(ctx, false); err != nil || !started {
		t.Fatalf("first up: started %v, %v", started, err)
	}
	for _, port := range []int{s.addr.Postgres, s.addr.AMQP, s.addr.Temporal, s.addr.UI, s.addr.API} {
		if slices.Contains([]int{5432, 5672, 7233, 8233, 9000}, port) {
			t.Errorf("a taken port was chosen: %d", port)
		}
	}
	onlyLoopback(t, s)
	writeAheadLog(t, filepath.Join(dir, "temporal.db"))

	again, err := Open(repo, dir, false, os.Stderr) // as another process would
	if err != nil {
		t.Fatal(err)
	}
	if started, err := again.Up(ctx, false); err != nil || started {
		t.Fatalf("second up: started %v, %v", started, err)
	}

	postgres := s.Pid("postgres")
	for _, name := range []string{"minio", "rabbitmq"} {
		killed := killProcess(t, dir, name)
		if started, err := again.Up(ctx, false); err != nil || !started {
			t.Fatalf("up after the death of %s: started %v, %v", name, started, err)
		}
		if now := again.Pid(name); now == killed || now == 0 || again.Pid("postgres") != postgres {
			t.Errorf("processes other than %s, which had died, were restarted", name)
		}
	}
	listens(t, again.Pid("rabbitmq"), s.addr.AMQP)
	if fmt.Sprint(again.Env()) != fmt.Sprint(s.Env()) {
		t.Error("addresses changed")
	}
	killProcess(t, dir, "rabbitmq")
	if err := again.Down(); err != nil {
		t.Fatal(err)
	}
	requireNoProcesses(t, dir)
}

// TestSearchAttributesAreThoseOfSetup: otherwise setup would add them late.
func TestSearchAttributesAreThoseOfSetup(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("../../../internal/temporalnames/names.go")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(source), `= "Stevedore`); n != len(searchAttributes) {
		t.Errorf("stevedore has %d search attributes, the server starts with %v", n, searchAttributes)
	}
	for _, attribute := range searchAttributes {
		name, _, _ := strings.Cut(attribute, "=")
		if !strings.Contains(string(source), `"`+name+`"`) {
			t.Errorf("stevedore has no search attribute %s", name)
		}
	}
}

// writeAheadLog checks the header of a SQLite database: bytes 18 and 19 are its
// write and read versions, 2 with a write-ahead log
// (https://sqlite.org/fileformat.html#file_format_version_numbers).
func writeAheadLog(t *testing.T, name string) {
	t.Helper()
	header, err := os.ReadFile(name)
	if err != nil || len(header) < 20 || header[18] != 2 || header[19] != 2 {
		t.Errorf("%s is not in WAL mode: %v, %v", name, header[:min(20, len(header))], err)
	}
}

// killProcess kills the process whose pid is in the file in pids.
func killProcess(t *testing.T, dir, name string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "pids", name))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err == nil {
		err = syscall.Kill(pid, syscall.SIGKILL)
	}
	if err != nil {
		t.Fatal(err)
	}
	// The kernel takes a while to end a large process.
	for deadline := time.Now().Add(time.Minute); alive(pid); {
		if time.Now().After(deadline) {
			t.Fatalf("%s (pid %d) does not end", name, pid)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return pid
}

// alive reports whether the process runs: neither ended nor a zombie.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, state, _ := strings.Cut(string(stat), ") ")
	return err == nil && !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "X")
}

// listens requires that the process itself listens on the port.
func listens(t *testing.T, pid, port int) {
	t.Helper()
	p, err := process.NewProcess(int32(pid))
	if err != nil {
		t.Fatal(err)
	}
	connections, err := p.Connections()
	for _, c := range connections {
		if c.Status == "LISTEN" && int(c.Laddr.Port) == port {
			return
		}
	}
	t.Errorf("process %d does not listen on port %d: %v", pid, port, err)
}

// onlyLoopback requires that no process of the stack listens on another address.
func onlyLoopback(t *testing.T, s *Stack) {
	t.Helper()
	pids := map[int32]bool{}
	for _, name := range s.Names() {
		p, err := process.NewProcess(int32(s.Pid(name)))
		if err != nil {
			t.Fatal(err)
		}
		pids[p.Pid] = true
		children, _ := p.Children()
		for _, c := range children {
			pids[c.Pid] = true
		}
	}
	for pid := range pids {
		p, err := process.NewProcess(pid)
		if err != nil {
			continue
		}
		connections, _ := p.Connections()
		for _, c := range connections {
			if ip := net.ParseIP(c.Laddr.IP); c.Status == "LISTEN" && (ip == nil || !ip.IsLoopback()) {
				name, _ := p.Name()
				t.Errorf("%s listens on %s:%d", name, c.Laddr.IP, c.Laddr.Port)
			}
		}
	}
}

func TestPasswordsAreNotPrinted(t *testing.T) {
	t.Parallel()
	if got := withoutPassword("postgres://u:canary@h:1/d"); strings.Contains(got, "canary") {
		t.Error(got)
	}
}
