package scale_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/bench"
	"stevedore/bench/scale"
	"stevedore/internal/test/sandbox"
	"stevedore/workflows"
)

// meter holds the usage of the services at the start of the measurement.
type meter struct {
	f       *fleet
	worker  *sandbox.Process
	pids    map[string]int
	before  usage
	started time.Time
}

// usage is the total usage so far.
type usage struct {
	cpu     map[string]time.Duration
	writes  float64 // of Temporal to its database
	commits int64   // of transactions in the ledger, reading ones included
	changes int64   // transactions of the whole database server that changed something
}

func (f *fleet) startMeter(t *testing.T, worker *sandbox.Process) *meter {
	t.Helper()
	pids, err := bench.ServicePids()
	require.NoError(t, err)
	m := &meter{f: f, worker: worker, pids: map[string]int{"temporal": pids["temporal"], "postgres": pids["postgres"], "worker": worker.Pid()}}
	m.started, m.before = time.Now(), m.read(t)
	return m
}

func (m *meter) read(t *testing.T) (u usage) {

	t.Helper()
	u.cpu = map[string]time.Duration{}
	var err error
	for name, pid := range m.pids {
		u.cpu[name], err = bench.TreeCPU(pid)
		require.NoError(t, err, name)
	}
	u.writes, err = bench.PersistenceWrites(m.f.Context(t))
	require.NoError(t, err)
	require.NoError(t, m.f.db.QueryRow(m.f.Context(t), `
		SELECT xact_commit, pg_snapshot_xmax(pg_current_snapshot())::text::bigint
		FROM pg_stat_database WHERE datname = current_database()`).Scan(&u.commits, &u.changes))
	return u
}

// report prints the cost of each scan that was started since.
func (m *meter) report(t *testing.T, what string) {

	t.Helper()
	scans := 0
	for _, s := range m.f.executions(t, workflows.NameDiscoverFiles) {
		if s.started.After(m.started) {
			scans++
		}
	}
	require.Positive(t, scans)
	now := m.read(t)
	per := func(n float64) float64 { return n / float64(scans) }
	for _, name := range slices.Sorted(maps.Keys(m.pids)) {
		scale.Figure(t, "%s: processor time of %s for each of %d scans: %s", what, name, scans,
			((now.cpu[name] - m.before.cpu[name]) / time.Duration(scans)).Round(10*time.Microsecond))
	}
	scale.Figure(t, "%s: for each scan %.2f writes of Temporal, %.2f transactions in the ledger of which %.2f changed something", what,
		per(now.writes-m.before.writes), per(float64(now.commits-m.before.commits)), per(float64(now.changes-m.before.changes)))
}
