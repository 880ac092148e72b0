package operations

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/orchestrator"
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
	run, err := b.StartScan(context.Background(), nil)
	require.NoError(t, err)
	require.Equal(t, []string{"u1"}, b.engine.started[0].Servers)
	require.True(t, b.engine.started[0].Force)
	require.Equal(t, "manual", b.engine.started[0].Source)
	require.Len(t, run.Suspended, 1)
	require.Equal(t, "scan/"+run.UUID, run.WorkflowID)
}

func TestScanOfAllServersPassesNoNames(t *testing.T) {
	t.Parallel()
	b := setup(server("u1", "a"))
	_, err := b.StartScan(context.Background(), nil)
	require.NoError(t, err)
	require.Empty(t, b.engine.started[0].Servers)
}

func TestScanOnlySuspendedIsAnError(t *testing.T) {
	t.Parallel()
	suspended := server("u2", "b")
	suspended.State = ingest.ServerSuspended
	b := setup(suspended)
	_, err := b.StartScan(context.Background(), nil)
	require.ErrorContains(t, err, "nothing to scan")
	require.Empty(t, b.engine.started, "an empty list would mean all servers")
}

func TestScanNamed(t *testing.T) {
	t.Parallel()
	paused := server("u3", "c")
	paused.Active = false
	b := setup(server("u1", "a"), paused)
	_, err := b.StartScan(context.Background(), []string{"a", "u1"})
	require.NoError(t, err)
	require.Equal(t, []string{"u1"}, b.engine.started[0].Servers)
	_, err = b.StartScan(context.Background(), []string{"unknown"})
	require.ErrorIs(t, err, ingest.ErrNotFound)
	_, err = b.StartScan(context.Background(), []string{"c"})
	require.ErrorContains(t, err, "stevedore server resume c")
}

func TestScanStatus(t *testing.T) {
	t.Parallel()
	closed := time.Now()
	refs := []activities.ServerRef{{UUID: "u1", Name: "a"}, {UUID: "u2", Name: "b"}}
	done := orchestrator.Execution{StartedAt: closed.Add(-time.Second), ClosedAt: closed}
	for _, tc := range []struct {
		name   string
		second orchestrator.Execution
		want   ScanState
	}{
		{"both done", done, ScanCompleted},
		{"one runs", orchestrator.Execution{Running: true, StartedAt: closed.Add(-time.Second)}, ScanRunning},
		{"one failed", orchestrator.Execution{StartedAt: closed.Add(-time.Second), Err: errors.New("refused")}, ScanFailed},
		{"a later scan runs", orchestrator.Execution{Running: true, StartedAt: closed.Add(time.Minute)}, ScanCompleted},
		{"the scan continues in another run", orchestrator.Execution{Running: true, Continued: true, StartedAt: closed.Add(time.Minute)}, ScanRunning},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := setup()
			b.engine.scan = orchestrator.Execution{ClosedAt: closed, Summary: workflows.ScanSummary{Started: 2, Servers: refs}}
			b.engine.described = map[string]orchestrator.Execution{"u1": done, "u2": tc.second}
			status, err := b.GetScan(context.Background(), "x")
			require.NoError(t, err)
			require.Equal(t, tc.want, status.State)
		})
	}
}

func TestScanStatusUnknown(t *testing.T) {
	t.Parallel()
	b := setup()
	b.engine.scanErr = ingest.Errorf(ingest.KindMissing, "no such workflow")
	_, err := b.GetScan(context.Background(), "x")
	require.ErrorIs(t, err, ingest.ErrNotFound)
}

// A scan does not wait for the partner, because the missing files may never arrive.
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
			b.engine.scan = orchestrator.Execution{StartedAt: began, ClosedAt: began, Summary: workflows.ScanSummary{Started: 1, Servers: refs}}
			b.engine.described = map[string]orchestrator.Execution{"u1": {Running: true, StartedAt: began}}
			one := wait
			tc.change(&one)
			b.ledger.waits = map[string]ingest.PartnerWait{"u1": one}
			status, err := b.GetScan(t.Context(), "x")
			require.NoError(t, err)
			require.Equal(t, tc.want, status.State)
			if tc.want == ScanRunning {
				return
			}
			require.Equal(t, "2 files wait for the partner: 1 for a done-marker, 1 for more bytes, e.g. its done-marker /a.csv.done", status.Servers[0].Waits)
		})
	}
}
