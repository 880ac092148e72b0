package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/store"
	"stevedore/internal/test/services"
)

// defaultRows is the size of the ledger: a full scan exceeds the number of files that a page
// may examine.
const defaultRows = 30_000

func testRows(t *testing.T) int {
	t.Helper()
	text := os.Getenv("STEVEDORE_TEST_ROWS")
	if text == "" {
		return defaultRows
	}
	rows, err := strconv.Atoi(text)
	require.NoError(t, err, "STEVEDORE_TEST_ROWS")
	return rows
}

// statement is a recorded query.
type statement struct {
	sql  string
	args []any
}

// recorder records the statements of a pool.
type recorder struct {
	mu         sync.Mutex
	statements []statement
}

func (r *recorder) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.statements = append(r.statements, statement{q.SQL, q.Args})
	return ctx
}

func (*recorder) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (r *recorder) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

func (r *recorder) TraceBatchQuery(ctx context.Context, _ *pgx.Conn, q pgx.TraceBatchQueryData) {
	r.TraceQueryStart(ctx, nil, pgx.TraceQueryStartData{SQL: q.SQL, Args: q.Args})
}

func (*recorder) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

func (r *recorder) take() []statement {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := r.statements
	r.statements = nil
	return taken
}

// node is a node of EXPLAIN's output.
type node struct {
	NodeType  string  `json:"Node Type"`
	Relation  string  `json:"Relation Name"`
	Index     string  `json:"Index Name"`
	Rows      float64 `json:"Actual Rows"`
	Loops     float64 `json:"Actual Loops"`
	Filtered  float64 `json:"Rows Removed by Filter"`
	Rechecked float64 `json:"Rows Removed by Index Recheck"`
	Plans     []node  `json:"Plans"`
}

// large are the tables that must not be scanned.
var large = []string{"files", "file_events", "file_names", "scans", "audit_log", "server_logins"}

// read returns the number of rows that the plan reads from the large tables, and the tables
// that it scans.
func (n node) read() (rows float64, through []string) {
	if slices.Contains(large, n.Relation) {
		rows = (n.Rows + n.Filtered + n.Rechecked) * n.Loops
		if n.NodeType == "Seq Scan" && n.Loops > 0 {
			through = append(through, n.Relation)
		}
	}
	for _, child := range n.Plans {
		r, t := child.read()
		rows, through = rows+r, append(through, t...)
	}
	return rows, through
}

// scans describes the nodes that read the large tables.
func (n node) scans() (lines []string) {
	if slices.Contains(large, n.Relation) {
		lines = append(lines, fmt.Sprintf("%s on %s by %s: %v rows, %v refused, %v times", n.NodeType, n.Relation, n.Index, n.Rows, n.Filtered, n.Loops))
	}
	for _, child := range n.Plans {
		lines = append(lines, child.scans()...)
	}
	return lines
}

// planBundle is a store on a large ledger that records its statements.
type planBundle struct {
	*store.Store
	recorder *recorder
	db       *pgxpool.Pool
	rows     int
}

func setupPlans(t *testing.T) *planBundle {
	t.Helper()
	dsn, rows := services.Database(t), testRows(t)
	began := time.Now()
	services.FillLedger(t, dsn, rows)
	t.Logf("%d files written in %s", rows, time.Since(began).Round(time.Millisecond))
	b := recorded(t, dsn)
	b.rows = rows
	require.NoError(t, b.Fold(t.Context()))
	return b
}

// recorded returns a store on the database that records its statements.
func recorded(t *testing.T, dsn string) *planBundle {
	t.Helper()
	b := &planBundle{recorder: &recorder{}}
	config, err := pgxpool.ParseConfig(dsn)
	require.NoError(t, err)
	b.db, err = pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(b.db.Close)
	traced := config.Copy()
	traced.ConnConfig.Tracer = b.recorder
	pool, err := pgxpool.NewWithConfig(t.Context(), traced)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	b.Store = store.OnPool(pool)
	return b
}

// requireBounded runs the call, and the same statements again under EXPLAIN: none may scan a
// large table, and together they may read at most bound rows.
func (b *planBundle) requireBounded(t *testing.T, name string, bound float64, ask func() error) {
	t.Helper()
	b.recorder.take()
	require.NoError(t, ask(), name)
	total := 0.0
	asked := 0
	var nodes []string
	tx, err := b.db.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(context.Background()) }()
	for _, s := range b.recorder.take() {
		if strings.Contains(s.sql, "set_config") {
			_, err := tx.Exec(t.Context(), s.sql)
			require.NoError(t, err)
			continue
		}
		if !strings.Contains(s.sql, "$1") && !strings.Contains(s.sql, "SELECT") || strings.Contains(s.sql, "pg_try_advisory") {
			continue // BEGIN and similar
		}
		var plan []byte
		require.NoError(t, tx.QueryRow(t.Context(), "EXPLAIN (ANALYZE, FORMAT JSON) "+s.sql, s.args...).Scan(&plan), s.sql)
		var tree []struct{ Plan node }
		require.NoError(t, json.Unmarshal(plan, &tree))
		rows, through := tree[0].Plan.read()
		nodes = append(nodes, tree[0].Plan.scans()...)
		assert.Empty(t, through, "%s scans a table: %s", name, s.sql)
		total += rows
		asked++
	}
	require.NotZero(t, asked, "%s ran no query", name)
	assert.LessOrEqual(t, total, bound, "%s reads too much:\n%s", name, strings.Join(nodes, "\n"))
}

// Pages are read without a scan of the ledger, whatever the filter and the order of the rows.
func TestListingsReadNoMoreThanTheyShow(t *testing.T) {
	t.Parallel()
	b := setupPlans(t)
	ctx := t.Context()
	const limit = 100
	var (
		now    = time.Now()
		day    = now.Add(-15 * 24 * time.Hour)
		empty  = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
		looked = 2.0 * (store.PageScan + store.MaxCandidates + 1) // the page, its edge, and its literal prefix
		// In a small ledger, scanning a server's files is as cheap
		inHour  = min(looked, float64(b.rows)/15)
		waiting = []ingest.Status{ingest.StatusError, ingest.StatusReady, ingest.StatusDownloading}
	)
	for name, try := range map[string]struct {
		filter ingest.FileFilter
		bound  float64
	}{
		"all":                    {ingest.FileFilter{}, limit + 1},
		"from the middle":        {ingest.FileFilter{AfterID: int64(b.rows / 2)}, limit + 1},
		"one status":             {ingest.FileFilter{Statuses: waiting[:1]}, limit + 1},
		"the common status":      {ingest.FileFilter{Statuses: []ingest.Status{ingest.StatusCompleted}}, limit + 1},
		"several statuses":       {ingest.FileFilter{Statuses: waiting}, 3 * (limit + 1)},
		"no such file":           {ingest.FileFilter{Statuses: []ingest.Status{ingest.StatusVerified, ingest.StatusUploaded}}, limit},
		"all statuses":           {ingest.FileFilter{Statuses: ingest.Statuses}, 14 * (limit + 1)},
		"server":                 {ingest.FileFilter{Server: "server-01"}, limit + 1},
		"server of old":          {ingest.FileFilter{Server: "server-19"}, float64(max(limit+1, b.rows/100))},
		"server, status":         {ingest.FileFilter{Server: "server-01", Statuses: waiting[:1]}, limit + 1},
		"server, statuses":       {ingest.FileFilter{Server: "server-01", Statuses: waiting}, 3 * (limit + 1)},
		"hash":                   {ingest.FileFilter{Hash: strings.Repeat("0", 64)}, limit},
		"hash of many":           {ingest.FileFilter{Hash: empty}, limit + 1},
		"hash of many, status":   {ingest.FileFilter{Hash: empty, Statuses: waiting}, looked},
		"path":                   {ingest.FileFilter{Path: "/out/**"}, looked + store.MaxSpread + 1},
		"path of nothing":        {ingest.FileFilter{Path: "/in/2001/**"}, 0},
		"path of one":            {ingest.FileFilter{Path: "**/invoice_000000777.csv"}, 3},
		"name of some":           {ingest.FileFilter{Path: "invoice_00000077*.csv"}, 2 * 11},
		"name of nothing":        {ingest.FileFilter{Path: "receipt_*.csv"}, 0},
		"end of nothing":         {ingest.FileFilter{Path: "*_receipt.csv"}, looked},
		"end of nothing, error":  {ingest.FileFilter{Path: "*_receipt.csv", Statuses: waiting[:1]}, looked},
		"end of nothing, server": {ingest.FileFilter{Path: "*_receipt.csv", Server: "server-01"}, looked},
		"name of one, server":    {ingest.FileFilter{Path: "invoice_000000777.csv", Server: "server-01", Statuses: waiting}, 3},
		"search of nothing":      {ingest.FileFilter{Search: "receipt"}, looked},
		"search, error":          {ingest.FileFilter{Search: "receipt", Statuses: waiting[:1]}, looked},
		"search of a uuid":       {ingest.FileFilter{Search: "ffffffff-ffff"}, looked},
		"search of a hash":       {ingest.FileFilter{Search: empty}, limit + 2},
		"error kind":             {ingest.FileFilter{ErrorKinds: []ingest.Kind{"no_such"}, ErrorSteps: []ingest.Step{ingest.StepUpload}}, looked},
		"since long ago":         {ingest.FileFilter{From: now.Add(-365 * 24 * time.Hour)}, looked},
		"since an hour":          {ingest.FileFilter{From: now.Add(-time.Hour)}, looked},
		"before all":             {ingest.FileFilter{To: now.Add(-365 * 24 * time.Hour)}, 0},
		"after all":              {ingest.FileFilter{From: now.Add(time.Hour)}, 0},
		"one hour":               {ingest.FileFilter{From: day, To: day.Add(time.Hour)}, float64(b.rows) / 70},
		"one hour, status":       {ingest.FileFilter{From: day, To: day.Add(time.Hour), Statuses: waiting}, inHour},
		"one hour, server":       {ingest.FileFilter{From: day, To: day.Add(time.Hour), Server: "server-01"}, inHour},
		"one hour, path":         {ingest.FileFilter{From: day, To: day.Add(time.Hour), Path: "*7.csv"}, float64(b.rows) / 70},
		"all filters, one":       {ingest.FileFilter{From: day, To: now, Server: "server-01", Statuses: waiting, Path: "**/*7.csv"}, looked},
	} {
		for _, order := range []ingest.FileOrder{ingest.OrderOldest, ingest.OrderNewest} {
			filter := try.filter
			filter.Order, filter.Limit = order, limit
			b.requireBounded(t, name+", "+string(order), try.bound, func() error {
				_, err := b.FilesPage(ctx, filter)
				return err
			})
		}
		counted := 2*(store.MaxCandidates+1) + max(store.CountScan, 10_001*len(try.filter.Statuses))
		if strings.HasPrefix(try.filter.Path, "/out/") {
			counted += store.MaxSpread + 1
		}
		b.requireBounded(t, name+", counted", float64(counted), func() error {
			_, err := b.CountUpTo(ctx, try.filter, 10_000)
			return err
		})
	}
	b.otherListings(t, limit)
	b.changes(t)
}

// changes are the statements of a group and of a dispatcher: they read only the rows that they
// change.
func (b *planBundle) changes(t *testing.T) {
	ctx := t.Context()
	page, err := b.FilesPage(ctx, ingest.FileFilter{Statuses: []ingest.Status{ingest.StatusReady}, Limit: store.MaxGroup})
	require.NoError(t, err)
	var started, skipped []ingest.Change
	for _, f := range page.Items {
		change := ingest.Started(f, ingest.ModeStaged, 0, "host")
		change.From = []ingest.Status{ingest.StatusReady}
		started = append(started, change)
		skipped = append(skipped, ingest.OperatorActed(f.UUID, ingest.OperatorAction{Action: ingest.ActionSkip, Key: "k"}))
	}
	server := page.Items[len(page.Items)/2].ServerUUID
	fence, err := b.RegisterDispatcher(ctx, server)
	require.NoError(t, err)
	few := float64(6 * len(page.Items))
	b.requireBounded(t, "reserve", 12, func() error { _, err := b.ReserveSlots(ctx, server, fence, 4); return err })
	b.requireBounded(t, "slots", 8, func() error { _, err := b.Slots(ctx, server); return err })
	b.requireBounded(t, "take", few, func() error { return errors.Join(b.Together(ctx, started...)...) })
	b.requireBounded(t, "skip", few, func() error { return errors.Join(b.Together(ctx, skipped...)...) })
	b.requireBounded(t, "unmoved", 101, func() error { _, err := b.UnchangedFiles(ctx, time.Hour, 0, 100); return err })
}

// otherListings are lists of other objects than files.
func (b *planBundle) otherListings(t *testing.T, limit int) {
	ctx := t.Context()
	page, err := b.FilesPage(ctx, ingest.FileFilter{AfterID: int64(b.rows / 2), Limit: 1})
	require.NoError(t, err)
	file := page.Items[0]
	last, err := b.ServerByName(ctx, "server-19")
	require.NoError(t, err)
	for name, try := range map[string]struct {
		bound float64
		ask   func() error
	}{
		"file by uuid":      {1, func() error { _, err := b.File(ctx, file.UUID); return err }},
		"file by prefix":    {2, func() error { _, err := b.FindFile(ctx, file.UUID[:13]); return err }},
		"next ready files":  {float64(limit), func() error { _, err := b.ReadyFiles(ctx, page.Items[0].ServerUUID, nil, limit); return err }},
		"next deferred":     {1, func() error { _, err := b.NextDeferred(ctx, page.Items[0].ServerUUID); return err }},
		"events of a file":  {7, func() error { _, err := b.Events(ctx, file.UUID, 0, limit); return err }},
		"scans":             {100, func() error { _, err := b.ScansBefore(ctx, "", 0, limit); return err }},
		"scans, later page": {100, func() error { _, err := b.ScansBefore(ctx, "", 500, limit); return err }},
		"scans of a server": {1, func() error { _, err := b.ScansBefore(ctx, last.UUID, 0, limit); return err }},
		"scan":              {1, func() error { _, err := b.Scan(ctx, 1); return err }},
		"failures":          {float64(b.rows) / 20, func() error { _, err := b.FailureGroups(ctx, "", limit); return err }},
		"failures, server":  {float64(b.rows) / 20, func() error { _, err := b.FailureGroups(ctx, last.UUID, limit); return err }},
		"statistics":        {0, func() error { _, err := b.Statistics(ctx, "", ingest.PeriodMonth); return err }},
		"audit log":         {100, func() error { _, err := b.AuditLog(ctx, ingest.AuditFilter{Limit: limit}); return err }},
		"audit log, later":  {100, func() error { _, err := b.AuditLog(ctx, ingest.AuditFilter{BeforeID: 500, Limit: limit}); return err }},
		"audit log of a name": {100, func() error {
			_, err := b.AuditLog(ctx, ingest.AuditFilter{Actor: "ann", Target: "y", Limit: limit})
			return err
		}},
		"reconciliations":     {0, func() error { _, err := b.ReconciliationsBefore(ctx, 0, limit); return err }},
		"tokens":              {0, func() error { _, err := b.Tokens(ctx, limit); return err }},
		"changes":             {200, func() error { _, err := b.EventsAfter(ctx, int64(b.rows), limit); return err }},
		"latest change":       {1, func() error { _, err := b.LastEventID(ctx); return err }},
		"counts and overview": {8, func() error { _, err := b.Stats(ctx); return err }},
	} {
		b.requireBounded(t, name, try.bound, try.ask)
	}
}
