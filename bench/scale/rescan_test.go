package scale_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"golang.org/x/sync/errgroup"

	"stevedore/bench"
	"stevedore/bench/scale"
	"stevedore/internal/ingest"
	"stevedore/internal/temporalnames"
	"stevedore/internal/test/sandbox"
	"stevedore/internal/test/services"
	"stevedore/workflows"
)

const (
	// rescanMemory bounds the worker's peak memory in bytes.
	rescanMemory = 500 << 20
	// rescanEvents bounds the history of the scan's DiscoverFiles.
	rescanEvents = 20
	// rescanFolders is the number of small folders.
	rescanFolders = 1000
	// rescanChanged is the number of files that are changed, and of files that are added,
	// before the second scan.
	rescanChanged = 5
)

// TestScaleRescan lists a server again whose files are all known: half of them
// in one folder, half in many. It takes at most a minute, little memory and few
// history events, and changes no row. Then ten files are changed or added, and
// the next scan finds these and no others.
func TestScaleRescan(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	h.SetTimeout(scale.Size(5*sandbox.Timeout, time.Hour))
	k := &knownFiles{n: scale.Size(20_000, 1_000_000), ledger: rescanLedger(t, h)}
	k.sshd = services.StartSSHD(t, services.SSHDOptions{})
	require.NoError(t, k.make())
	server := h.Register(t, k.sshd, "acme", func(s *ingest.Server) { s.Settle = 0 })
	k.record(t, server.UUID)
	before := k.fingerprint(t)
	require.Equal(t, k.n, before.rows)

	worker := h.StartProcess(t, sandbox.ProcessOptions{})
	first := rescan(t, h, worker, server.UUID)
	require.Equal(t, int64(k.n), first.Seen)
	require.Zero(t, first.New)
	require.Zero(t, first.Started)
	require.Equal(t, before, k.fingerprint(t), "rows were changed or added")
	require.LessOrEqual(t, first.events, rescanEvents)
	require.LessOrEqual(t, worker.PeakMemory(t), int64(rescanMemory))
	require.LessOrEqual(t, first.took, scale.Size(sandbox.Timeout, time.Minute))

	changed := k.change(t)
	second := rescan(t, h, worker, server.UUID)
	require.Equal(t, int64(k.n+rescanChanged), second.Seen)
	require.Equal(t, int64(len(changed)), second.New)
	require.ElementsMatch(t, changed, k.newPaths(t, before.lastID))
	require.Equal(t, before, k.fingerprintTo(t, before.lastID), "rows of known files were changed")
	require.LessOrEqual(t, worker.PeakMemory(t), int64(rescanMemory))
}

// rescanned is the result of a DiscoverFiles that has ended.
type rescanned struct {
	workflows.DiscoverSummary
	took   time.Duration
	events int
}

// rescan scans and measures the costs.
func rescan(t *testing.T, h *sandbox.Cluster, worker *sandbox.Process, serverUUID string) (r rescanned) {
	t.Helper()
	cpu := rescanCPU(t, worker)
	h.Scan(t)
	id := temporalnames.DiscoverWorkflowID(serverUUID)
	require.NoError(t, h.Temporal.GetWorkflow(h.Context(t), id, "").Get(h.Context(t), &r.DiscoverSummary))
	used := rescanCPU(t, worker)
	described, err := h.Temporal.DescribeWorkflowExecution(h.Context(t), id, "")
	require.NoError(t, err)
	info := described.GetWorkflowExecutionInfo()
	require.Equal(t, enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, info.GetStatus())
	r.took, r.events = info.GetCloseTime().AsTime().Sub(info.GetStartTime().AsTime()), int(info.GetHistoryLength())
	scale.Figure(t, "%d files seen, %d new: %.1f s, %.0f files/s, %d history events, worker %d MiB at most, CPU worker %.1f s, PostgreSQL %.1f s",
		r.Seen, r.New, r.took.Seconds(), float64(r.Seen)/r.took.Seconds(), r.events, worker.PeakMemory(t)>>20,
		(used["worker"] - cpu["worker"]).Seconds(), (used["postgres"] - cpu["postgres"]).Seconds())
	return r
}

// rescanCPU returns the CPU time so far of the worker and of PostgreSQL.
func rescanCPU(t *testing.T, worker *sandbox.Process) map[string]time.Duration {
	t.Helper()
	services, err := bench.ServicePids()
	require.NoError(t, err)
	used := map[string]time.Duration{}
	for name, pid := range map[string]int{"worker": worker.Pid(), "postgres": services["postgres"]} {
		used[name], err = bench.TreeCPU(pid)
		require.NoError(t, err)
	}
	return used
}

// knownFiles are n files on a server and their rows in the ledger. File i has
// i%10 bytes and its time is a number of seconds after rescanEpoch.
type knownFiles struct {
	n      int
	sshd   *services.SSHD
	ledger *pgx.Conn
}

var rescanEpoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// path returns the path of file i below the root, as recordKnown computes it.
func (k *knownFiles) path(i int) string {
	if i <= k.n/2 {
		return fmt.Sprintf("large/file_%07d.csv", i)
	}
	return fmt.Sprintf("small/%03d/file_%07d.csv", i%rescanFolders, i)
}

// make creates the files, as sparse files because that is quick.
func (k *knownFiles) make() error {
	if err := os.MkdirAll(k.sshd.Path("large"), 0o755); err != nil {
		return err
	}
	for i := range rescanFolders {
		if err := os.MkdirAll(k.sshd.Path(fmt.Sprintf("small/%03d", i)), 0o755); err != nil {
			return err
		}
	}
	const makers = 4
	var group errgroup.Group
	for maker := range makers {
		group.Go(func() error {
			for i := 1 + maker; i <= k.n; i += makers {
				if err := k.makeFile(i, int64(i%10)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

func (k *knownFiles) makeFile(i int, size int64) error {
	path := k.sshd.Path(k.path(i))
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	if err := file.Truncate(size); err != nil {
		return err
	}
	at := rescanEpoch.Add(time.Duration(i) * time.Second)
	return os.Chtimes(path, at, at)
}

// change changes some known files, adds as many new ones, and returns all their paths.
func (k *knownFiles) change(t *testing.T) (paths []string) {
	t.Helper()
	for i := range rescanChanged {
		added := k.n + 1 + i
		require.NoError(t, k.makeFile(added, 7))
		known := 1 + i*(k.n-1)/(rescanChanged-1) // the first to the last
		require.NoError(t, k.makeFile(known, 11))
		paths = append(paths, k.sshd.Path(k.path(added)), k.sshd.Path(k.path(known)))
	}
	return paths
}

const recordKnown = `
INSERT INTO files (server_uuid, remote_path, remote_path_raw, filename, size_bytes, mtime, status, transfer_mode, file_hash, hash_algo,
	minio_bucket, minio_object_key, minio_etag, completed_at)
SELECT $1, p.dir || p.name, convert_to(p.dir || p.name, 'UTF8'), p.name, i % 10, $2::timestamptz + i * interval '1 second', 'completed', 'memory',
	encode(sha256(i::text::bytea), 'hex'), 'sha256', 'files', 'files/2026/01/' || gen_random_uuid() || '/' || p.name, md5(i::text), now()
FROM generate_series($3::bigint, $4::bigint) i
CROSS JOIN LATERAL (SELECT $5 || CASE WHEN i <= $6::bigint / 2 THEN '/large/' ELSE '/small/' || lpad((i % $7::bigint)::text, 3, '0') || '/' END AS dir,
	'file_' || lpad(i::text, 7, '0') || '.csv' AS name) p`

// record inserts the files into the ledger as completed, and updates the tables'
// statistics like autovacuum.
func (k *knownFiles) record(t *testing.T, serverUUID string) {
	t.Helper()
	const atOnce = 100_000
	ctx := t.Context()
	for first := 1; first <= k.n; first += atOnce {
		last := min(first+atOnce-1, k.n)
		_, err := k.ledger.Exec(ctx, recordKnown, serverUUID, rescanEpoch, first, last, k.sshd.Root, k.n, rescanFolders)
		require.NoError(t, err)
	}
	_, err := k.ledger.Exec(ctx, "VACUUM (ANALYZE) files, file_names")
	require.NoError(t, err)
}

// fingerprint identifies the versions of the ledger's rows: any update changes it, even
// to the same values.
type fingerprint struct {
	rows   int
	lastID int64
	digest string
}

func (k *knownFiles) fingerprint(t *testing.T) fingerprint { return k.fingerprintTo(t, 1<<62) }

// fingerprintTo returns the fingerprint of the rows up to the id.
func (k *knownFiles) fingerprintTo(t *testing.T, lastID int64) (f fingerprint) {
	t.Helper()
	require.NoError(t, k.ledger.QueryRow(t.Context(), `
SELECT count(*), max(id), sum(hashtextextended(f.xmin || f::text, 0)::numeric)::text FROM files f WHERE id <= $1`, lastID).
		Scan(&f.rows, &f.lastID, &f.digest))
	return f
}

// newPaths returns the paths of the rows after the id.
func (k *knownFiles) newPaths(t *testing.T, lastID int64) []string {
	t.Helper()
	rows, err := k.ledger.Query(t.Context(), "SELECT remote_path FROM files WHERE id > $1", lastID)
	require.NoError(t, err)
	paths, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return paths
}

func rescanLedger(t *testing.T, h *sandbox.Cluster) *pgx.Conn {
	t.Helper()
	db, err := pgx.Connect(h.Context(t), h.Cfg.Database.URL.Reveal())
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close(context.WithoutCancel(h.Context(t))) })
	return db
}
