package sandbox

import (
	"fmt"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/internal/config"
	"stevedore/internal/test/services"
)

// WorkerName is what the connections of a sandbox's workers to the database are
// called there.
const WorkerName = "sandbox-worker"

// databaseVariable tells worker processes of the database.
const databaseVariable = "STEVEDORE_DATABASE_URL="

// asWorker is the address of a database for a worker.
func asWorker(t *testing.T, dsn string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	require.NoError(t, err)
	query := u.Query()
	query.Set("application_name", WorkerName)
	// PostgreSQL does not take a + for a space.
	u.RawQuery = strings.ReplaceAll(query.Encode(), "+", "%20")
	return u.String()
}

// asWorkerConfig is cfg for a worker.
func asWorkerConfig(t *testing.T, cfg config.Config) config.Config {
	t.Helper()
	cfg.Database.URL = config.URL(asWorker(t, cfg.Database.URL.Reveal()))
	return cfg
}

// asWorkerEnv is env for a worker.
func asWorkerEnv(t *testing.T, env []string) []string {
	t.Helper()
	for i, variable := range env {
		if dsn, found := strings.CutPrefix(variable, databaseVariable); found {
			env[i] = databaseVariable + asWorker(t, dsn)
		}
	}
	return env
}

// RequireExactlyOnce is how tests of the whole end: the verdict of the oracle,
// then all workers are stopped, and none of them may have left a connection.
func (h *Cluster) RequireExactlyOnce() {
	h.T.Helper()
	h.RequireExactlyOnceSoFar()
	h.StopWorkers()
	h.requireNothingOpen()
}

// RequireExactlyOnceSoFar is the verdict alone, for tests that go on.
func (h *Cluster) RequireExactlyOnceSoFar() {
	h.T.Helper()
	h.Sandbox.RequireExactlyOnce()
}

// StopWorkers ends all workers of this world in an orderly way.
func (h *Cluster) StopWorkers() {
	h.T.Helper()
	for _, stop := range h.stops {
		stop()
	}
	h.stops = nil
	for _, p := range h.processes {
		p.Signal(syscall.SIGCONT)
		p.Signal(syscall.SIGTERM)
	}
	for _, p := range h.processes {
		p.AwaitEnd()
	}
	h.processes = nil
}

// requireNothingOpen waits until no server has a session and the database no
// connection of a worker any more. What is on a line takes a moment to end.
func (h *Cluster) requireNothingOpen() {
	h.T.Helper()
	var left []string
	Eventually(h.T, func() bool {
		left = services.Connections(h.T, h.dsn, WorkerName)
		for i, sshd := range h.sources {
			if n := len(sshd.Sessions()); n > 0 {
				left = append(left, fmt.Sprintf("%d processes of sessions on %s", n, h.names[i]))
			}
		}
		return len(left) == 0
	}, Timeout, 50*time.Millisecond, "workers have ended and left %s", func() string { return strings.Join(left, "; ") })
}
