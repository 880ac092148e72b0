package faults_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"stevedore/internal/config"
	"stevedore/internal/test/sandbox"
	"stevedore/internal/test/services"
)

// ownBroker is a RabbitMQ node for one test, for faults of a complete broker.
type ownBroker struct {
	server string
	home   string
	port   int
	env    []string
	node   *exec.Cmd
}

// rabbitPrograms is the folder in which packages install RabbitMQ's programs.
const rabbitPrograms = "/usr/lib/rabbitmq/bin/"

// newOwnBroker starts a node, declares the test's queue on it and makes it the broker of
// the cluster.
func newOwnBroker(t *testing.T, h *sandbox.Cluster) *ownBroker {
	t.Helper()
	b := &ownBroker{server: rabbitPrograms + "rabbitmq-server", home: t.TempDir(), port: services.FreePort(t)}
	require.FileExists(t, b.server, "install rabbitmq-server")
	in := func(name string) string { return filepath.Join(b.home, name) }
	settings := fmt.Sprintf("listeners.tcp.default = 127.0.0.1:%d\ndisk_free_limit.absolute = 1MB\n", b.port)
	require.NoError(t, os.WriteFile(in("rabbitmq.conf"), []byte(settings), 0o600))
	epmd := strconv.Itoa(services.FreePort(t))
	b.env = append(os.Environ(),
		"HOME="+b.home, "RABBITMQ_NODENAME=own"+epmd+"@localhost", "RABBITMQ_CONFIG_FILE="+in("rabbitmq.conf"),
		"RABBITMQ_MNESIA_BASE="+in("mnesia"), "RABBITMQ_LOG_BASE="+in("log"),
		"RABBITMQ_ENABLED_PLUGINS_FILE="+in("plugins"), "RABBITMQ_PID_FILE="+in("pid"),
		"RABBITMQ_DIST_PORT="+strconv.Itoa(services.FreePort(t)),
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1}",
		"ERL_EPMD_ADDRESS=127.0.0.1", "ERL_EPMD_PORT="+epmd,
	)
	// Otherwise the node starts a port mapper that outlives it.
	mapper := exec.Command("epmd", "-address", "127.0.0.1", "-port", epmd)
	require.NoError(t, mapper.Start())
	t.Cleanup(func() {
		_ = mapper.Process.Kill()
		_ = mapper.Wait()
	})
	t.Cleanup(b.kill)
	b.start(t)
	h.AMQP = services.AMQP{URL: fmt.Sprintf("amqp://guest:guest@127.0.0.1:%d/", b.port), Queue: h.AMQP.Queue}
	h.Cfg.AMQP.URL = config.URL(h.AMQP.URL)
	b.openChannel(t, h)
	h.AMQP.Declare(t)
	return b
}

// start starts the node, also after kill, and waits until it is ready.
func (b *ownBroker) start(t *testing.T) {
	t.Helper()
	b.node = exec.Command(b.server)
	b.node.Dir, b.node.Env = b.home, b.env
	b.node.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var out bytes.Buffer
	b.node.Stdout, b.node.Stderr = &out, &out
	require.NoError(t, b.node.Start())
	sandbox.Eventually(t, func() bool {
		conn, err := amqp.Dial(fmt.Sprintf("amqp://guest:guest@127.0.0.1:%d/", b.port))
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}, sandbox.Timeout, 10*tick, "the broker does not start")
}

// openChannel opens a channel for the test, also after start.
func (b *ownBroker) openChannel(t *testing.T, h *sandbox.Cluster) {
	t.Helper()
	conn, err := amqp.Dial(h.AMQP.URL)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	h.AMQP.Channel, err = conn.Channel()
	require.NoError(t, err)
}

// signal sends a signal to all processes of the node.
func (b *ownBroker) signal(s syscall.Signal) { _ = syscall.Kill(-b.node.Process.Pid, s) }

// kill kills the node, like a power cut of its machine.
func (b *ownBroker) kill() {
	if b.node != nil {
		b.signal(syscall.SIGKILL)
		_ = b.node.Wait()
		b.node = nil
	}
}

// control runs rabbitmqctl.
func (b *ownBroker) control(t *testing.T, args ...string) {
	t.Helper()
	ctl := exec.Command(rabbitPrograms+"rabbitmqctl", args...)
	ctl.Env = b.env
	out, err := ctl.CombinedOutput()
	require.NoError(t, err, "rabbitmqctl %s: %s", strings.Join(args, " "), out)
}
