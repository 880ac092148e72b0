package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"stevedore/internal/test/servicedouble"

	"github.com/stretchr/testify/require"

	"stevedore/activities"
	"stevedore/api/openapi"
	"stevedore/internal/ingest"
	"stevedore/internal/operations"
	"stevedore/internal/orchestrator"
)

func TestScanWait(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err    error
		failed int64
		held   int64
		code   int
	}{
		"done":         {nil, 0, 0, exitOK},
		"failed":       {nil, 1, 0, exitPermanent},
		"held":         {nil, 0, 300, exitPermanent},
		"unreachable":  {ingest.Errorf(ingest.KindTransient, "connection refused"), 0, 0, exitRetryable},
		"worst":        {ingest.Errorf(ingest.KindTransient, "connection refused"), 1, 300, exitPermanent},
		"bad password": {ingest.Errorf(ingest.KindAuth, "server acme: refused"), 1, 0, exitPermanent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ops := scannedOperations(tc.err, tc.failed)
			ops.Servers = []ingest.Server{{UUID: testUUID, Name: "acme"}, {UUID: "other", Name: "other"}}
			ops.Servers[0].Attention.Held.Files, ops.Servers[1].Attention.Held.Files = tc.held, 7
			if tc.code == exitPermanent {
				ops.Servers[0].Unread.Count = 2
			}
			got := execute(t, ops, args("scan", "--server", "acme", "--wait", "-o", "json"))
			require.Equal(t, tc.code, got.code, got.errors)
			require.Equal(t, []string{"acme"}, ops.ScannedServers)
			require.NotContains(t, got.errors, "\x1b", "progress is for terminals")
			require.Equal(t, tc.failed > 0, strings.Contains(got.errors, "file list --status error"))
			require.Equal(t, tc.held > 0, strings.Contains(got.errors, "held: 300 files, see `stevedore server changes acme`"))
			require.Equal(t, tc.code == exitPermanent, strings.Contains(got.errors, "could not be read: 2 folders"))
			require.NotContains(t, got.errors, "other")
			var result openapi.Scan
			require.NoError(t, json.Unmarshal([]byte(got.out), &result))
			require.Equal(t, "scan/s1", result.WorkflowID)
			require.EqualValues(t, 2, result.Servers[0].Files["completed"])
			require.Equal(t, tc.err != nil, result.Servers[0].Error != nil)
			if tc.err != nil {
				require.Contains(t, got.errors, "server acme was not scanned: ")
				require.NotContains(t, got.errors, "acme: acme")
			}
		})
	}
	ops := scannedOperations(nil, 0)
	got := execute(t, ops, args("scan", "--wait"), terminal)
	require.Contains(t, got.errors, "0 of 1 servers done; files: 1 downloading")
	require.Contains(t, got.out, "2 completed")
}

func scannedOperations(err error, failed int64) *double {
	server := operations.ScanServerStatus{
		Server: activities.ServerRef{UUID: testUUID, Name: "acme"}, State: operations.ScanCompleted, Err: err,
		Files: map[ingest.Status]int64{ingest.StatusCompleted: 2, ingest.StatusError: failed},
	}
	if err != nil {
		server.State = operations.ScanFailed
	}
	return doubled(servicedouble.Service{
		Scan: operations.ScanRun{UUID: testUUID, WorkflowID: "scan/s1", RunID: "r1", Servers: 1},
		Scanned: operations.ScanStatus{
			UUID: testUUID, WorkflowID: "scan/s1", RunID: "r1", State: operations.ScanCompleted, Servers: []operations.ScanServerStatus{server},
		},
	})
}

func TestScanWaitShowsUnreadFolders(t *testing.T) {
	t.Parallel()
	for _, folders := range []int{0, 2, 25} {
		ops := scannedOperations(nil, 0)
		ops.Servers = []ingest.Server{{UUID: "other", Name: "other"}, {UUID: testUUID, Name: "acme"}}
		ops.Servers[0].Unread.Add("/elsewhere", "is closed")
		for i := range folders {
			ops.Servers[1].Unread.Add(fmt.Sprintf("/in/%02d", i), "may not be read by user u\x1b")
		}
		got := execute(t, ops, args("scan", "--wait"))
		require.NotContains(t, got.out+got.errors, "elsewhere")
		if folders == 0 {
			require.Equal(t, exitOK, got.code, got.errors)
			continue
		}
		require.Equal(t, exitPermanent, got.code, got.errors)
		require.Contains(t, got.errors, fmt.Sprintf("could not be read: %s, see `stevedore server show acme`", ingest.Counted(int64(folders), "folder", "folders")))
		require.Regexp(t, `acme +/in/01 may not be read by user u`, got.out)
		require.NotContains(t, got.out, "\x1b")
		require.Contains(t, got.out, fmt.Sprintf("folders that could not be read: %d", folders))

		got = execute(t, ops, args("scan", "--wait", "-o", "json"))
		var result scanResult
		require.NoError(t, json.Unmarshal([]byte(got.out), &result))
		require.Len(t, result.Unreadable["acme"], folders)
	}
}

func TestScanWithoutWait(t *testing.T) {
	t.Parallel()
	ops := scannedOperations(nil, 0)
	ops.Scan.Suspended = []ingest.Server{{Name: "bad"}}
	got := execute(t, ops, args("scan", "-o", "json"))
	require.JSONEq(t, `{"scan_uuid":"`+testUUID+`","workflow_id":"scan/s1","run_id":"r1","servers":1,"suspended":["bad"],
		"status_url":"/api/v1/scans/`+testUUID+`"}`, got.out)
	require.Contains(t, got.errors, "stevedore server test bad")
	got = execute(t, ops, args("scan", "--wait"))
	require.Equal(t, exitPermanent, got.code, "a suspended server was not scanned")
}

// endless has a scan that does not end.
type endless struct{ *double }

func (e endless) GetScan(context.Context, string) (operations.ScanStatus, error) {
	return e.Scanned, nil
}

// TestScanWaitNamesWhatItWaitsFor: also in a pipe, and when the time limit expires.
func TestScanWaitNamesWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	ops := endless{scannedOperations(nil, 0)}
	ops.Scanned.State, ops.Scanned.Servers[0].State = operations.ScanRunning, operations.ScanRunning
	ops.Scanned.Servers[0].Files = map[ingest.Status]int64{ingest.StatusDownloading: 1, ingest.StatusDiscovered: 2, ingest.StatusError: 7}
	ops.Files = []ingest.File{
		{UUID: testUUID, ServerName: "acme", RemotePath: "/in/a", Status: ingest.StatusDownloading},
		{UUID: "other", ServerName: "acme", RemotePath: "/in/b\x1b", Status: ingest.StatusDiscovered, SettlesAt: time.Unix(9, 0)},
	}
	ops.Progressing = map[string]orchestrator.Progress{testUUID: {Step: ingest.StepDownload, Attempt: 3, Paused: true, Failure: "connection refused"}}
	got := execute(t, ops, args("scan", "--wait", "--timeout", "1ns"))
	require.Equal(t, exitRetryable, got.code, got.errors)
	for _, want := range []string{
		"waiting for acme:/in/a (downloading): connection refused; download, attempt 3, paused in Temporal\n",
		"waiting for acme:/in/b\\x1b (discovered): waits for its settle time, until 1970-01-01T00:00:09Z\n",
		"waiting for 1 more file of acme\n", "stevedore: scan " + testUUID + " has not ended within 1ns and continues: ",
	} {
		require.Contains(t, got.errors, want)
	}
	require.NotContains(t, ops.Filter.Statuses, ingest.StatusError)
	require.Regexp(t, `acme +2 discovered, 1 downloading, 7 error +running`, got.out)

	ops.Files = nil
	got = execute(t, ops, args("scan", "--wait", "--timeout", "2s"), func(a *app) { a.report = time.Millisecond })
	require.Greater(t, strings.Count(got.errors, "waiting for the listing of acme\n"), 2, "repeated at growing intervals")
	require.Less(t, strings.Count(got.errors, "waiting for the listing of acme\n"), 14)
	require.Equal(t, exitUsage, execute(t, ops, args("scan", "--timeout", "1s")).code)
}
