package faults_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"

	"stevedore/internal/test/sandbox"
	"stevedore/internal/test/services"
)

// ownTemporal is a Temporal server for one test, for faults of the server or its
// database.
type ownTemporal struct {
	program string
	args    []string
	// dir contains the database and the log.
	dir     string
	address string
	server  *exec.Cmd
}

// newOwnTemporal starts a server with the flags of the dev stack, so that the tested
// durability is the same, and makes it the server of the cluster. Worker processes need
// its variable.
func newOwnTemporal(t *testing.T, h *sandbox.Cluster) (own *ownTemporal, variable string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(os.Getenv("DEVSTACK_DIR"), "state", "temporal.json"))
	require.NoError(t, err, "the stack's Temporal server")
	var stack struct {
		Path string   `json:"path"`
		Args []string `json:"args"`
	}
	require.NoError(t, json.Unmarshal(text, &stack))
	o := &ownTemporal{program: stack.Path, args: slices.Clone(stack.Args), dir: t.TempDir()}
	port := strconv.Itoa(services.FreePort(t))
	o.address = "127.0.0.1:" + port
	for flag, value := range map[string]string{
		"--port": port, "--ui-port": strconv.Itoa(services.FreePort(t)), "--metrics-port": strconv.Itoa(services.FreePort(t)), "--db-filename": o.database(),
	} {
		at := slices.Index(o.args, flag)
		require.GreaterOrEqual(t, at, 0, "the stack's Temporal server has no %s: %v", flag, o.args)
		o.args[at+1] = value
	}
	t.Cleanup(o.kill)
	o.start(t)
	h.Temporal = o.dial(t)
	return o, "TEMPORAL_ADDRESS=" + o.address
}

func (o *ownTemporal) database() string { return filepath.Join(o.dir, "temporal.db") }

// start starts the server, also after kill, and waits until it is ready.
func (o *ownTemporal) start(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(o.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	o.server = exec.Command(o.program, o.args...)
	o.server.Env = append(os.Environ(), "HOME="+o.dir)
	o.server.Stdout, o.server.Stderr = log, log
	require.NoError(t, o.server.Start())
	require.NoError(t, log.Close())
	sandbox.Eventually(t, func() bool {
		c, err := client.Dial(client.Options{HostPort: o.address, Logger: sdklog.NewStructuredLogger(services.Logger(t))})
		if err != nil {
			return false
		}
		defer c.Close()
		_, err = c.WorkflowService().DescribeNamespace(t.Context(), describeDefault)
		return err == nil
	}, sandbox.Timeout, 5*tick, "the Temporal server does not start", o.log)
}

func (o *ownTemporal) log() string {
	text, _ := os.ReadFile(filepath.Join(o.dir, "log"))
	return string(text[max(0, len(text)-2000):])
}

// dial returns a client that reconnects after each start.
func (o *ownTemporal) dial(t *testing.T) client.Client {
	t.Helper()
	c, err := client.Dial(client.Options{HostPort: o.address, Logger: sdklog.NewStructuredLogger(services.Logger(t))})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// kill kills the server with SIGKILL.
func (o *ownTemporal) kill() {
	if o.server != nil {
		_ = o.server.Process.Kill()
		_ = o.server.Wait()
		o.server = nil
	}
}

// databaseFiles are the files of the database that survive a power cut: SQLite rebuilds
// the index of the log (-shm).
func (o *ownTemporal) databaseFiles() []string { return []string{o.database(), o.database() + "-wal"} }

// copyDatabase copies the database consistently: the server is suspended meanwhile.
func (o *ownTemporal) copyDatabase(t *testing.T) (copied [][]byte) {
	t.Helper()
	require.NoError(t, o.server.Process.Signal(syscall.SIGSTOP))
	for _, name := range o.databaseFiles() {
		content, err := os.ReadFile(name)
		require.NoError(t, err)
		copied = append(copied, content)
	}
	require.NoError(t, o.server.Process.Signal(syscall.SIGCONT))
	return copied
}

// putBack replaces the database of the stopped server.
func (o *ownTemporal) putBack(t *testing.T, copied [][]byte) {
	t.Helper()
	if err := os.Remove(o.database() + "-shm"); !errors.Is(err, fs.ErrNotExist) {
		require.NoError(t, err)
	}
	for i, name := range o.databaseFiles() {
		require.NoError(t, os.WriteFile(name, copied[i], 0o600))
	}
}
