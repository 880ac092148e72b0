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

// WorkerName is the application_name of database connections of a sandbox's workers.
const WorkerName = "sandbox-worker"

const databaseVariable = "STEVEDORE_DATABASE_URL="

// asWorker returns the URL of the database with the application_name of workers.
func asWorker(t testing.TB, dsn string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	require.NoError(t, err)
	query := u.Query()
	query.Set("application_name", WorkerName)
	// PostgreSQL does not decode + as a space.
	u.RawQuery = strings.ReplaceAll(query.Encode(), "+", "%20")
	return u.String()
}

// asWorkerConfig returns cfg with the database URL of workers.
func asWorkerConfig(t testing.TB, cfg config.Config) config.Config {
	t.Helper()
	cfg.Database.URL = config.URL(asWorker(t, cfg.Database.URL.Reveal()))
	return cfg
}

// asWorkerEnv returns env with the database URL of workers.
func asWorkerEnv(t testing.TB, env []string) []string {
	t.Helper()
	for i, variable := range env {
		if dsn, found := strings.CutPrefix(variable, databaseVariable); found {
			env[i] = databaseVariable + asWorker(t, dsn)
		}
	}
	return env
}

// RequireExactlyOnce ends an end-to-end test: it audits the results, stops all workers,
// and requires that they have closed their connections.
func (h *Cluster) RequireExactlyOnce(t testing.TB) {
	t.Helper()
	h.RequireExactlyOnceSoFar(t)
	h.StopWorkers(t)
	h.requireNothingOpen(t)
}

// RequireExactlyOnceSoFar only audits the results, for tests that continue.
func (h *Cluster) RequireExactlyOnceSoFar(t testing.TB) {
	t.Helper()
	h.Sandbox.RequireExactlyOnce(t)
}

// StopWorkers stops all workers gracefully.
func (h *Cluster) StopWorkers(t testing.TB) {
	t.Helper()
	for _, stop := range h.stops {
		stop()
	}
	h.stops = nil
	for _, p := range h.processes {
		p.Signal(syscall.SIGCONT)
		p.Signal(syscall.SIGTERM)
	}
	for _, p := range h.processes {
		p.AwaitEnd(t)
	}
	h.processes = nil
}

// requireNothingOpen waits until no SFTP server has a session and the database has no
// connection of a worker. Closing takes a moment.
func (h *Cluster) requireNothingOpen(t testing.TB) {
	t.Helper()
	var left []string
	Eventually(t, func() bool {
		left = services.Connections(t, h.dsn, WorkerName)
		for i, sshd := range h.sources {
			if n := len(sshd.Sessions()); n > 0 {
				left = append(left, fmt.Sprintf("%d processes of sessions on %s", n, h.names[i]))
			}
		}
		return len(left) == 0
	}, Timeout, 50*time.Millisecond, "after the workers ended there remain %s", func() string { return strings.Join(left, "; ") })
}
