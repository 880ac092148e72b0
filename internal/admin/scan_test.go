package admin

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/workflows"
)

func server(uuid, name string) ingest.Server {
	return ingest.Server{UUID: uuid, Name: name, Active: true, State: ingest.ServerOK}
}

func TestScanAllLeavesOutSuspendedServers(t *testing.T) {
	t.Parallel()
	suspended := server("u2", "b")
	suspended.State, suspended.LastError = ingest.ServerSuspended, "wrong password"
	b := setup(server("u1", "a"), suspended)
	run, err := b.Scan(context.Background(), nil)
	require.NoError(t, err)
	require.Equal(t, []string{"u1"}, b.engine.started[0].Servers)
	require.True(t, b.engine.started[0].Force)
	require.Equal(t, "manual", b.engine.started[0].Source)
	require.Len(t, run.Suspended, 1)
	require.Equal(t, "scan/"+run.UUID, run.WorkflowID)

	outcome, err := b.WaitScan(context.Background(), run, nil)
	require.NoError(t, err)
	require.True(t, ingest.KindOf(outcome.Err()).Permanent())
	require.ErrorContains(t, outcome.Err(), "wrong password")
}

func TestScanAllNamesNobodyWhenAllAreFine(t *testing.T) {
	t.Parallel()
	b := setup(server("u1", "a"))
	_, err := b.Scan(context.Background(), nil)
	require.NoError(t, err)
	require.Empty(t, b.engine.started[0].Servers)
}

func TestScanOnlySuspendedIsAnError(t *testing.T) {
	t.Parallel()
	suspended := server("u2", "b")
	suspended.State = ingest.ServerSuspended
	b := setup(suspended)
	_, err := b.Scan(context.Background(), nil)
	require.ErrorContains(t, err, "nothing to scan")
	require.Empty(t, b.engine.started, "an empty list would mean all servers")
}

func TestScanNamed(t *testing.T) {
	t.Parallel()
	paused := server("u3", "c")
	paused.Active = false
	b := setup(server("u1", "a"), paused)
	_, err := b.Scan(context.Background(), []string{"a", "u1"})
	require.NoError(t, err)
	require.Equal(t, []string{"u1"}, b.engine.started[0].Servers)
	_, err = b.Scan(context.Background(), []string{"nobody"})
	require.ErrorIs(t, err, ErrNotFound)
	_, err = b.Scan(context.Background(), []string{"c"})
	require.ErrorContains(t, err, "stevedore server resume c")
}

func TestWaitScanReportsFailedServers(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name      string
		failure   error
		permanent bool
	}{
		{"unreachable", ingest.Errorf(ingest.KindTransient, "nobody answers"), false},
		{"wrong password", ingest.Errorf(ingest.KindAuth, "password refused"), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := setup(server("u1", "good"), server("u2", "bad"))
			b.engine.summary = workflows.ScanSummary{Started: 2, Servers: []activities.ServerRef{{UUID: "u1", Name: "good"}, {UUID: "u2", Name: "bad"}}}
			b.engine.servers = map[string]error{"u2": tc.failure}
			b.ledger.counts = map[string]map[ingest.Status]int64{"u1": {ingest.StatusCompleted: 3}}
			outcome, err := b.WaitScan(context.Background(), ScanRun{}, nil)
			require.NoError(t, err)
			require.Equal(t, "bad", outcome.Servers[0].Server.Name)
			require.Equal(t, ingest.KindOf(tc.failure), outcome.Servers[0].Failure.Kind)
			require.Nil(t, outcome.Servers[1].Failure)
			require.EqualValues(t, 3, outcome.Servers[1].Files[ingest.StatusCompleted])
			require.Equal(t, tc.permanent, ingest.KindOf(outcome.Err()).Permanent())
		})
	}
}

func TestWaitScanReportsProgressAndStopsWhenAsked(t *testing.T) {
	t.Parallel()
	b := setup(server("u1", "a"))
	b.engine.block = make(chan struct{})
	b.engine.summary.Servers = []activities.ServerRef{{UUID: "u1", Name: "a"}}
	b.ledger.counts = map[string]map[ingest.Status]int64{"u1": {ingest.StatusDownloading: 1}}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err := b.WaitScan(ctx, ScanRun{}, func(p ScanProgress) {
		if p.Total == 1 && p.Files[ingest.StatusDownloading] == 1 {
			cancel()
		}
	})
	require.ErrorIs(t, err, context.Canceled)
}

func TestScanStatus(t *testing.T) {
	t.Parallel()
	closed := time.Now()
	refs := []activities.ServerRef{{UUID: "u1", Name: "a"}, {UUID: "u2", Name: "b"}}
	done := Execution{StartedAt: closed.Add(-time.Second), ClosedAt: closed}
	for _, tc := range []struct {
		name   string
		second Execution
		want   ScanState
	}{
		{"both done", done, ScanCompleted},
		{"one runs", Execution{Running: true, StartedAt: closed.Add(-time.Second)}, ScanRunning},
		{"one failed", Execution{StartedAt: closed.Add(-time.Second), Err: errors.New("refused")}, ScanFailed},
		{"a later scan runs", Execution{Running: true, StartedAt: closed.Add(time.Minute)}, ScanCompleted},
		{"it goes on in another run", Execution{Running: true, Continued: true, StartedAt: closed.Add(time.Minute)}, ScanRunning},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := setup()
			b.engine.scan = Execution{ClosedAt: closed, Summary: workflows.ScanSummary{Started: 2, Servers: refs}}
			b.engine.described = map[string]Execution{"u1": done, "u2": tc.second}
			status, err := b.ScanStatus(context.Background(), "x")
			require.NoError(t, err)
			require.Equal(t, tc.want, status.State)
		})
	}
}

func TestScanStatusUnknown(t *testing.T) {
	t.Parallel()
	b := setup()
	b.engine.scanErr = ingest.Errorf(ingest.KindMissing, "Temporal knows no such workflow")
	_, err := b.ScanStatus(context.Background(), "x")
	require.ErrorIs(t, err, ErrNotFound)
}

// TestAScanDoesNotWaitForThePartner: what only the partner can send may never come.
func TestAScanDoesNotWaitForThePartner(t *testing.T) {
	t.Parallel()
	began := time.Now()
	refs := []activities.ServerRef{{UUID: "u1", Name: "a"}}
	wait := ingest.PartnerWait{Files: 2, Markers: 1, Small: 1, Example: "its done-marker /a.csv.done", ListedAt: began.Add(time.Second)}
	for name, tc := range map[string]struct {
		change func(*ingest.PartnerWait)
		want   ScanState
	}{
		"only the partner": {func(*ingest.PartnerWait) {}, ScanCompleted},
		"others":           {func(w *ingest.PartnerWait) { w.Others = 1 }, ScanRunning},
		"not listed yet":   {func(w *ingest.PartnerWait) { w.ListedAt = began.Add(-time.Second) }, ScanRunning},
		"nothing":          {func(w *ingest.PartnerWait) { w.Files = 0 }, ScanRunning},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(server("u1", "a"))
			b.engine.scan = Execution{StartedAt: began, ClosedAt: began, Summary: workflows.ScanSummary{Started: 1, Servers: refs}}
			b.engine.described = map[string]Execution{"u1": {Running: true, StartedAt: began}}
			one := wait
			tc.change(&one)
			b.ledger.waits = map[string]ingest.PartnerWait{"u1": one}
			status, err := b.ScanStatus(t.Context(), "x")
			require.NoError(t, err)
			require.Equal(t, tc.want, status.State)
			if tc.want == ScanRunning {
				return
			}
			require.Equal(t, "2 file(s) wait for the partner: 1 for a done-marker, 1 for more bytes, e.g. its done-marker /a.csv.done", status.Servers[0].Waits)
			b.engine.block, b.engine.summary.Servers = make(chan struct{}), refs
			outcome, err := b.WaitScan(t.Context(), ScanRun{}, nil)
			require.NoError(t, err)
			require.NoError(t, outcome.Err(), "the server was listed")
			require.Equal(t, status.Servers[0].Waits, outcome.Servers[0].Waits)
		})
	}
}
