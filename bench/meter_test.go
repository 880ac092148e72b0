package bench

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"stevedore/internal/test/sandbox"
	"stevedore/internal/test/services"
)

// meter measures the CPU time of process groups from its start on.
type meter struct {
	pids  map[string][]int
	began map[string]time.Duration
}

// startMeter measures the stack, the workload's SSH servers and a worker process. Without
// a worker process (0), this process counts as the client.
func startMeter(t *testing.T, w Workload, worker int) *meter {
	t.Helper()
	pids, err := ServicePids()
	require.NoError(t, err)
	m := &meter{pids: map[string][]int{}}
	for name, pid := range pids {
		m.pids[name] = []int{pid}
	}
	for _, server := range w.Servers {
		m.pids["sshd"] = append(m.pids["sshd"], server.Pid())
	}
	if worker != 0 {
		m.pids["worker"] = []int{worker}
	}
	m.began = m.read(t)
	return m
}

func (m *meter) read(t *testing.T) map[string]time.Duration {
	t.Helper()
	now := map[string]time.Duration{}
	for group, pids := range m.pids {
		for _, pid := range pids {
			took, err := TreeCPU(pid)
			require.NoError(t, err, group)
			now[group] += took
		}
	}
	if m.pids["worker"] == nil {
		own, err := OwnCPU()
		require.NoError(t, err)
		now["client"] = own
	}
	return now
}

// cpu returns the CPU time since the start.
func (m *meter) cpu(t *testing.T) map[string]time.Duration {
	t.Helper()
	used := m.read(t)
	for group := range used {
		used[group] -= m.began[group]
	}
	return used
}

// ledgerCounters are PostgreSQL's own counters. A backend adds its share when it has been
// idle for a while or ends. So the final values are read after the worker has ended.
type ledgerCounters struct{ commits, walSyncs int64 }

// readLedger reads the counters through another database, so that it does not change
// those of the ledger.
func readLedger(ctx context.Context, t *testing.T, dsn string) (c ledgerCounters) {
	t.Helper()
	conn, ledger := administrator(ctx, t, dsn)
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	require.NoError(t, conn.QueryRow(ctx, `SELECT xact_commit, (SELECT wal_sync FROM pg_stat_wal)
		FROM pg_stat_database WHERE datname = $1`, ledger).Scan(&c.commits, &c.walSyncs))
	return c
}

// requireDurable fails if PostgreSQL does not wait for the disk, as in the private stacks
// of tests: such measurements are meaningless.
func requireDurable(t *testing.T) {
	t.Helper()
	conn, _ := administrator(t.Context(), t, services.Database(t))
	defer func() { _ = conn.Close(t.Context()) }()
	for _, setting := range []string{"fsync", "full_page_writes", "synchronous_commit"} {
		var value string
		require.NoError(t, conn.QueryRow(t.Context(), "SHOW "+setting).Scan(&value))
		require.Equal(t, "on", value, "PostgreSQL's %s: run `make load`", setting)
	}
}

// administrator connects to the server's own database.
func administrator(ctx context.Context, t *testing.T, dsn string) (conn *pgx.Conn, ledger string) {
	t.Helper()
	config, err := pgx.ParseConfig(dsn)
	require.NoError(t, err)
	ledger, config.Database = config.Database, "postgres"
	conn, err = pgx.ConnectConfig(ctx, config)
	require.NoError(t, err)
	return conn, ledger
}

// historiesOf describes the workflows of a task queue. All of them have ended or are
// about to.
func historiesOf(ctx context.Context, t *testing.T, temporal client.Client, queue string, atLeast int) (h Histories) {
	t.Helper()
	sandbox.Eventually(t, func() bool {
		open, err := temporal.CountWorkflow(ctx, counted(queue, " AND ExecutionStatus = 'Running'"))
		require.NoError(t, err)
		all, err := temporal.CountWorkflow(ctx, counted(queue, ""))
		require.NoError(t, err)
		return open.GetCount() == 0 && all.GetCount() >= int64(atLeast)
	}, sandbox.Timeout, sandbox.Timeout/1000, "not all workflows end")
	var page []byte
	for {
		found, err := temporal.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
			Query: "TaskQueue = '" + queue + "'", PageSize: 1000, NextPageToken: page,
		})
		require.NoError(t, err)
		for _, execution := range found.GetExecutions() {
			h.Workflows++
			h.Events += int(execution.GetHistoryLength())
			id := execution.GetExecution()
			first, err := temporal.GetWorkflowHistory(ctx, id.GetWorkflowId(), id.GetRunId(), false, 0).Next()
			require.NoError(t, err)
			if first.GetWorkflowExecutionStartedEventAttributes().GetEagerExecutionAccepted() {
				h.Eager++
			}
		}
		if page = found.GetNextPageToken(); len(page) == 0 {
			return h
		}
	}
}

func counted(queue, also string) *workflowservice.CountWorkflowExecutionsRequest {
	return &workflowservice.CountWorkflowExecutionsRequest{Query: "TaskQueue = '" + queue + "'" + also}
}
