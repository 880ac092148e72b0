package main

import (
	"context"
	"encoding/json"
	"iter"
	"strings"
	"sync"
	"testing"
	"time"

	"stevedore/internal/test/servicedouble"

	"github.com/stretchr/testify/require"

	"stevedore/api/openapi"
	"stevedore/internal/ingest"
	"stevedore/internal/operations"
	"stevedore/internal/orchestrator"
	"stevedore/workflows"
)

func sampleFile() ingest.File {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return ingest.File{
		UUID: testUUID, ServerUUID: "s", ServerName: "acme", RemotePath: "/in/a\xff\t=cmd.csv", Filename: "a\xff\t=cmd.csv", Size: 2048,
		ModTime: at, Status: ingest.StatusCompleted, Hash: "ab", HashAlgo: "sha256", Bucket: "b", ObjectKey: "files/k", CreatedAt: at, UpdatedAt: at,
	}
}

func TestFileListFilters(t *testing.T) {
	t.Parallel()
	ops := world()
	got := execute(t, ops, args("file", "list", "--newest", "--path", "/in/*", "--from", "2d", "--to", "1h", "--server", "acme", "--limit", "5",
		"--status", "completed,error", "--status", "ready",
		"--search", "Invoice", "--error-kind", "permission,auth", "--error-kind", "slow", "--error-step", "download,notify"), clockAt)
	require.Equal(t, 0, got.code, got.errors)
	require.Equal(t, ingest.FileFilter{
		Server: "acme", Path: "/in/*", Search: "Invoice", Statuses: []ingest.Status{ingest.StatusCompleted, ingest.StatusError, ingest.StatusReady},
		ErrorKinds: []ingest.Kind{ingest.KindPermission, ingest.KindAuth, ingest.KindSlow}, ErrorSteps: []ingest.Step{ingest.StepDownload, ingest.StepNotify},
		From: goldenTime.Add(-48 * time.Hour), To: goldenTime.Add(-time.Hour), Order: ingest.OrderNewest, Limit: 5,
	}, ops.Filter)
}

func TestFileActions(t *testing.T) {
	t.Parallel()
	ops := decidable()
	got := execute(t, ops, args("file", "retry", "0f0f", "1e1e", "--step", "upload", "--reason", "bucket is back"))
	require.Equal(t, 0, got.code, got.errors)
	require.Equal(t, []string{
		`retry ` + ops.Files[0].UUID + ` from "upload" by bootstrap: bucket is back`, `retry ` + ops.Files[1].UUID + ` from "upload" by bootstrap: bucket is back`,
	}, ops.Calls)
	require.Equal(t, 3, strings.Count(got.out, "\n"), got.out)
	require.Contains(t, got.out, "/in/a.csv")
	require.Empty(t, got.errors)

	ops.Err = ingest.Errorf(ingest.KindConflict, "/in/a.csv is completed: renotify requires status error")
	got = execute(t, ops, args("file", "renotify", "0f0f"))
	require.Equal(t, 6, got.code)
	require.Contains(t, got.errors, "is completed")
}

func decidable() *double {
	ops := doubled(servicedouble.Service{})
	for _, prefix := range []string{"0f0f", "1e1e", "2d2d"} {
		ops.Files = append(ops.Files, ingest.File{UUID: prefix + testUUID[4:], RemotePath: "/in/a.csv", Status: ingest.StatusError})
	}
	return ops
}

// TestActionsContinueAfterARefusal: the exit code is that of the most severe error.
func TestActionsContinueAfterARefusal(t *testing.T) {
	t.Parallel()
	ops := decidable()
	ops.Refused = map[string]error{
		ops.Files[0].UUID: ingest.Errorf(ingest.KindTransient, "Temporal does not answer"),
		ops.Files[1].UUID: ingest.Errorf(ingest.KindConflict, "it is completed\x1b[2J"),
	}
	got := execute(t, ops, args("file", "retry", "0f0f", "1e1e", "2d2d", "-o", "json"))
	require.Equal(t, 6, got.code)
	require.Len(t, ops.Calls, 3)
	var results []actionResult
	require.NoError(t, json.Unmarshal([]byte(got.out), &results))
	require.Equal(t, []actionResult{
		{Action: ingest.ActionRetry, FileUUID: ops.Files[0].UUID, RemotePath: "/in/a.csv", ErrorKind: ingest.KindTransient, Error: "Temporal does not answer"},
		{Action: ingest.ActionRetry, FileUUID: ops.Files[1].UUID, RemotePath: "/in/a.csv", ErrorKind: ingest.KindConflict, Error: `it is completed\x1b[2J`},
		{Action: ingest.ActionRetry, FileUUID: ops.Files[2].UUID, RemotePath: "/in/a.csv", Done: true},
	}, results)
	require.Contains(t, got.errors, `it is completed\x1b[2J`)
	require.NotContains(t, got.errors, "\x1b")

	delete(ops.Refused, ops.Files[1].UUID)
	got = execute(t, ops, args("file", "retry", "0f0f", "2d2d"))
	require.Equal(t, 5, got.code)
	require.Contains(t, got.out, "failed: Temporal does not answer")
}

func TestFileShowLinksItsWorkflow(t *testing.T) {
	t.Parallel()
	got := execute(t, world(), args("file", "show", testUUID[:6]), environ("STEVEDORE_TEMPORAL_UI_URL=http://127.0.0.1:8233/"))
	require.Equal(t, 0, got.code, got.errors)
	require.Contains(t, got.out, "workflows/ingest%2F"+testUUID)
}

func TestBulkActionsCountAndAsk(t *testing.T) {
	t.Parallel()
	ops := world()
	hash := strings.Repeat("AB", 32)
	got := execute(t, ops, args("file", "retry", "--server", "acme", "--path", "*.csv", "--hash", hash, "--from", "2026-01-01",
		"--to", "2026-01-02T00:00:00+01:00", "--step", "upload", "--reason", "it is back",
		"--search", "a", "--error-kind", "permission", "--error-step", "upload"), person("y\n"))
	require.Equal(t, 0, got.code, got.errors)
	require.Contains(t, got.errors, "retry 3 failed files? [y/N]")
	require.Equal(t, "retried: 3 of 3 files\n", got.out)
	require.Len(t, ops.Bulk, 3, "counted, then two requests")
	three := int64(3)
	want := operations.BulkRequest{
		Filter: ingest.FileFilter{
			Server: "acme", Path: "*.csv", Search: "a", Hash: strings.ToLower(hash), ErrorKinds: []ingest.Kind{ingest.KindPermission}, ErrorSteps: []ingest.Step{ingest.StepUpload},
			From: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), To: time.Date(2026, 1, 1, 23, 0, 0, 0, time.UTC),
		},
		Action: ingest.ActionRetry, Expected: &three,
		Details: workflows.OperatorAction{Reason: "it is back", From: ingest.StepUpload},
	}
	require.Equal(t, want, ops.Bulk[1], "the action is the confirmed one")
	require.Equal(t, "behind-2", ops.Bulk[2].Cursor)

	ops = world()
	require.Equal(t, 0, execute(t, ops, args("file", "retry", "--error-step", "notify", "--dry-run")).code, "one filter is enough")
	require.Equal(t, []ingest.Step{ingest.StepNotify}, ops.Bulk[0].Filter.ErrorSteps)

	ops = world()
	require.Equal(t, 1, execute(t, ops, args("file", "skip", "--all"), person("n\n")).code)
	require.Len(t, ops.Bulk, 1, "only counted")
}

// TestBulkActionsAddUp: the result counts all requests, also when a later one fails.
func TestBulkActionsAddUp(t *testing.T) {
	t.Parallel()
	ops := world()
	ops.Matched, ops.RefusesOne = 5, true
	got := execute(t, ops, args("file", "retry", "--all", "--yes"))
	require.Equal(t, 6, got.code)
	require.Contains(t, got.out, "retried: 2 of 5 files\n")
	require.Contains(t, got.out, "refused-2")
	require.Contains(t, got.out, "refused-4")
	require.Contains(t, got.errors, "refused for 3 files and not tried for 0")

	ops = world()
	ops.BatchErr = ingest.Errorf(ingest.KindTransient, "Temporal does not answer")
	got = execute(t, ops, args("file", "retry", "--all", "--yes", "-o", "json"))
	require.Equal(t, 5, got.code)
	require.Contains(t, got.out, `"done": 2`)
	require.Contains(t, got.out, `"remaining": 1`)
	require.Contains(t, got.errors, "Temporal does not answer")
}

type watchedOperations struct {
	*double

	mu sync.Mutex
	// looks counts listings, shows single files.
	looks, shows int
	stop         context.CancelFunc
	// leaves makes the file complete in the end, so that it leaves the list.
	leaves bool
}

func (w *watchedOperations) ListFiles(_ context.Context, filter ingest.FileFilter) (ingest.Page[ingest.File], error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Filter = filter
	file := sampleFile()
	file.Status = ingest.StatusDownloading
	if w.looks++; w.looks > 2 {
		file.Status, file.UpdatedAt = ingest.StatusVerified, file.UpdatedAt.Add(time.Second)
	}
	if w.looks >= 5 {
		w.stop()
	}
	if w.leaves && w.looks > 3 {
		return ingest.Page[ingest.File]{}, nil
	}
	return ingest.Page[ingest.File]{Items: []ingest.File{file}}, nil
}

func (w *watchedOperations) GetFile(context.Context, string) (ingest.File, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	file := sampleFile()
	file.Status = ingest.StatusDownloading
	if w.shows++; w.shows > 2 || w.looks > 3 {
		file.Status = ingest.StatusCompleted
		w.Events = world().Events
	}
	return file, nil
}

func watch(t *testing.T, screen bool, line ...string) (call, *watchedOperations) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	w := &watchedOperations{double: doubled(servicedouble.Service{Events: world().Events[:1]}), stop: cancel, leaves: !screen}
	w.Progressing = map[string]orchestrator.Progress{testUUID: {Attempt: 2, Running: true, Done: 45, Total: 100, Rate: 5}}
	got := executeIn(t, ctx, w, line, func(a *app) {
		a.refresh = time.Millisecond
		if screen {
			onScreen(120)(a)
		}
	})
	return got, w
}

func TestWatchPrintsChanges(t *testing.T) {
	t.Parallel()
	got, w := watch(t, false, "file", "list", "--watch")
	require.Equal(t, 0, got.code, got.errors)
	require.NotContains(t, w.Filter.Statuses, ingest.StatusCompleted)
	require.Contains(t, w.Filter.Statuses, ingest.StatusError)
	lines := strings.Split(strings.TrimSpace(got.out), "\n")
	require.Len(t, lines, 3, "one for each change: %s", got.out)
	require.Contains(t, lines[0], "downloading")
	require.Contains(t, lines[1], "verified")
	require.Contains(t, lines[2], "completed", "it has left the list")

	got, _ = watch(t, true, "file", "list", "--watch")
	drawn := strings.Count(got.out, clearScreen)
	require.GreaterOrEqual(t, drawn, 4, "the stop may interrupt the last one")
	require.Equal(t, drawn, strings.Count(got.out, "45%, 5 B/s, 11s left, attempt 2"), got.out)

	got, _ = watch(t, false, "file", "show", testUUID, "--watch")
	require.Equal(t, 0, got.code, got.errors)
	require.Equal(t, 1, strings.Count(got.out, "discovered"))
	require.Contains(t, got.out, "size_mb=2.5")
	require.Contains(t, got.out, "completed  -\n")
}

func TestReason(t *testing.T) {
	t.Parallel()
	file := openapi.FromFile(ingest.File{Status: ingest.StatusDownloading, ServerName: "acme"})
	waits := orchestrator.Progress{Attempt: 3, NextTry: time.Now().Add(-time.Second), Failure: "server acme: the server hung up\x1b[2J"}
	a := &app{}
	onScreen(80)(a)
	for want, p := range map[string]orchestrator.Progress{
		`the server hung up\x1b[2J; attempt 3, next try now`: waits,
		"download": {Step: "download", Attempt: 1, Running: true},
		"cut; 50%, 1.0 KiB/s, 1s left, attempt 2": {Attempt: 2, Running: true, Done: 1024, Total: 2048, Rate: 1024, Failure: "cut"},
		"attempt 2, waiting for a worker":         {Attempt: 2},
		"cut; attempt 2, paused in Temporal":      {Attempt: 2, Paused: true, Failure: "cut"},
	} {
		require.Equal(t, want, a.reason(file, openapi.FromProgress(p)))
	}
	for want, f := range map[string]ingest.File{
		"-":                     {Status: ingest.StatusDownloading},
		"denied":                {Status: ingest.StatusError, ServerName: "acme", ErrorMessage: "server acme: denied"},
		"it is a symbolic link": {Status: ingest.StatusRejected, ErrorMessage: "it is a symbolic link"},
		"waits for a.done":      {Status: ingest.StatusDiscovered, WaitsFor: "a.done"},
		"cut; waits for its next try at 1970-01-01T00:00:09Z": {Status: ingest.StatusReady, Deferrals: 1, NotBefore: time.Unix(9, 0), ErrorMessage: "cut"},
	} {
		require.Equal(t, want, a.reason(openapi.FromFile(f), nil))
	}
}

// TestLatestOf: the list is read up to an hour before the range.
func TestLatestOf(t *testing.T) {
	t.Parallel()
	hours := []int{1, 3, 2, 4, 6, 5, 7, 9} // ago
	read := 0
	list := func(limit int) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			for read = 0; read < len(hours) && (limit == 0 || read < limit); {
				if read++; !yield(hours[read-1], nil) {
					return
				}
			}
		}
	}
	at := func(ago int) time.Time { return goldenTime.Add(-time.Duration(ago) * time.Hour) }
	for _, tc := range []struct {
		between     timeRange
		limit, read int
		want        []int
	}{
		{timeRange{}, 2, 2, []int{1, 3}}, {timeRange{from: "5h"}, 0, 7, []int{1, 3, 2, 4, 5}}, {timeRange{from: "5h", to: "2h"}, 0, 7, []int{3, 4, 5}},
		{timeRange{to: "3h"}, 2, 5, []int{4, 6}},
	} {
		found, err := collect(latestOf(tc.between, goldenTime, tc.limit, list, at))
		require.NoError(t, err)
		require.Equal(t, tc.want, found, tc.between)
		require.Equal(t, tc.read, read, tc.between)
	}
	_, err := collect(latestOf(timeRange{from: "soon"}, goldenTime, 0, list, at))
	require.Equal(t, exitUsage, exitCode(err))
	broken := func(int) iter.Seq2[int, error] {
		return all([]int{9}, ingest.Errorf(ingest.KindTransient, "no response"))
	}
	_, err = collect(latestOf(timeRange{to: "1h"}, goldenTime, 0, broken, at))
	require.ErrorContains(t, err, "no response")
}
