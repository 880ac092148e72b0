package main

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/api/openapi"
	"stevedore/internal/ingest"
	"stevedore/internal/operations"
	"stevedore/internal/orchestrator"
	"stevedore/workflows"
)

func person(answer string) with {
	return func(a *app) { a.person, a.stdin = true, strings.NewReader(answer) }
}

func TestServerEditSendsOnlyWhatWasGiven(t *testing.T) {
	t.Parallel()
	ops := world()
	got := execute(t, ops, args("server", "edit", "acme", "--settle", "30s", "--include", "", "--read-once=false", "--no-private-key"))
	require.Equal(t, 0, got.code, got.errors)
	edited := ingest.Server{Include: []string{"a"}, Exclude: []string{"b"}, ReadOnce: true, Port: 22}
	ops.edit.Settings(&edited)
	require.Equal(t, ingest.Server{Include: []string{}, Exclude: []string{"b"}, Port: 22, Settle: 30 * time.Second}, edited)
	require.NotNil(t, ops.edit.PrivateKey)
	require.Empty(t, ops.edit.PrivateKey)
	require.Nil(t, ops.edit.Password)
	require.Equal(t, 2, execute(t, world(), args("server", "edit", "acme")).code)
	require.Equal(t, 2, execute(t, world(), args("server", "edit", "acme", "--no-password", "--password-file", "x")).code)
	require.Equal(t, 3, execute(t, world(), args("server", "edit", "nobody", "--port", "23")).code)
}

func TestServerRemoveAsks(t *testing.T) {
	t.Parallel()
	for answer, code := range map[string]int{"y\n": 0, "YES\n": 0, "n\n": 1, "\n": 1, "": 1} {
		ops := world()
		got := execute(t, ops, args("server", "rm", "acme"), person(answer))
		require.Equal(t, code, got.code, answer)
		require.Equal(t, code == 0, ops.removed != "", answer)
		require.Contains(t, got.errors, "remove server acme (sftp.acme.example:22)? [y/N]")
	}
	unasked := world()
	require.Equal(t, 2, execute(t, unasked, args("server", "rm", "acme"), stdin("y\n")).code, "a pipe cannot be asked")
	require.Empty(t, unasked.removed)
}

func TestBulkDecisionsCountAndAsk(t *testing.T) {
	t.Parallel()
	ops := world()
	hash := strings.Repeat("AB", 32)
	got := execute(t, ops, args("file", "retry", "--server", "acme", "--path", "*.csv", "--hash", hash, "--seen-from", "2026-01-01",
		"--seen-to", "2026-01-02T00:00:00+01:00", "--from", "upload", "--reason", "it is back"), person("y\n"))
	require.Equal(t, 0, got.code, got.errors)
	require.Contains(t, got.errors, "retry 3 file(s) in error? [y/N]")
	require.Equal(t, "retry: 3 of 3 file(s)\n", got.out)
	require.Len(t, ops.bulk, 3, "counted, and decided on in two requests")
	three := int64(3)
	want := operations.BulkRequest{
		Filter: ingest.FileFilter{
			Server: "acme", Path: "*.csv", Hash: strings.ToLower(hash),
			From: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), To: time.Date(2026, 1, 1, 23, 0, 0, 0, time.UTC),
		},
		Action: operations.Retry, Expected: &three,
		Details: workflows.OperatorAction{Reason: "it is back", From: ingest.StepUpload, Actor: ingest.BootstrapToken},
	}
	require.Equal(t, want, ops.bulk[1], "what was asked about is what is done")
	require.Equal(t, "behind-2", ops.bulk[2].Cursor)

	for _, tc := range []struct {
		line []string
		code int
		with with
	}{
		{args("file", "skip", "--all"), 2, nil},
		{args("file", "skip", "--all"), 1, person("n\n")},
		{args("file", "skip", "--all", "--dry-run"), 0, nil},
		{args("file", "skip", "--dry-run"), 2, nil},
		{args("file", "skip", "0f0f", "--all", "--yes"), 2, nil},
		{args("file", "skip", "0f0f", "--yes", "--server", "acme"), 2, nil},
		{args("file", "renotify", "--all"), 2, nil},
		{args("file", "skip", "--hash", "xyz", "--yes"), 2, nil},
	} {
		ops := world()
		if tc.with == nil {
			tc.with = func(*app) {}
		}
		got := execute(t, ops, tc.line, tc.with)
		require.Equal(t, tc.code, got.code, "%s: %s", tc.line, got.errors)
		for _, request := range ops.bulk {
			require.True(t, request.DryRun, "%s", tc.line)
		}
	}
}

// TestBulkDecisionsAddUp: what an earlier request refused or did is told, also
// when a later one is cut short.
func TestBulkDecisionsAddUp(t *testing.T) {
	t.Parallel()
	ops := world()
	ops.matched, ops.refuses = 5, true
	got := execute(t, ops, args("file", "retry", "--all", "--yes"))
	require.Equal(t, 6, got.code)
	require.Contains(t, got.out, "retry: 2 of 5 file(s)\n")
	require.Contains(t, got.out, "refused-2")
	require.Contains(t, got.out, "refused-4")
	require.Contains(t, got.errors, "refused for 3 file(s) and not tried for 0")

	ops = world()
	ops.bulkErr = ingest.Errorf(ingest.KindTransient, "Temporal does not answer")
	got = execute(t, ops, args("file", "retry", "--all", "--yes", "-o", "json"))
	require.Equal(t, 5, got.code)
	require.Contains(t, got.out, `"done": 2`)
	require.Contains(t, got.out, `"remaining": 1`)
	require.Contains(t, got.errors, "Temporal does not answer")
}

func TestFileListFilters(t *testing.T) {
	t.Parallel()
	ops := world()
	before := time.Now().Add(-48 * time.Hour)
	got := execute(t, ops, args("file", "list", "--newest", "--path", "/in/*", "--from", "2d", "--to", "1h"))
	require.Equal(t, 0, got.code, got.errors)
	require.Equal(t, "/in/*", ops.filter.Path)
	require.Equal(t, ingest.OrderNewest, ops.filter.Order)
	require.WithinDuration(t, before, ops.filter.From, time.Minute)
	require.WithinDuration(t, time.Now().Add(-time.Hour), ops.filter.To, time.Minute)
}

// watchedWorld is a world in which a file goes on its way while it is looked at; it
// ends the watch by itself.
type watchedWorld struct {
	*fakeOperations

	mu sync.Mutex
	// looks counts listings, shows single files.
	looks, shows int
	stop         context.CancelFunc
	// leaves says that the file is completed in the end, and leaves the list.
	leaves bool
}

func (w *watchedWorld) ListFiles(_ context.Context, filter ingest.FileFilter) (ingest.Page[ingest.File], error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.filter = filter
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

func (w *watchedWorld) GetFile(context.Context, string) (ingest.File, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	file := sampleFile()
	file.Status = ingest.StatusDownloading
	if w.shows++; w.shows > 2 || w.looks > 3 {
		file.Status = ingest.StatusCompleted
		w.events = world().events
	}
	return file, nil
}

func watch(t *testing.T, screen bool, line ...string) (call, *watchedWorld) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	w := &watchedWorld{fakeOperations: &fakeOperations{events: world().events[:1]}, stop: cancel, leaves: !screen}
	w.progress = map[string]orchestrator.Progress{testUUID: {Attempt: 2, Running: true, Done: 45, Total: 100, Rate: 5}}
	got := executeIn(t, ctx, w, line, func(a *app) { a.screen, a.interval = screen, time.Millisecond })
	return got, w
}

func TestWatchPrintsChanges(t *testing.T) {
	t.Parallel()
	got, w := watch(t, false, "file", "list", "--watch")
	require.Equal(t, 0, got.code, got.errors)
	require.NotContains(t, w.filter.Statuses, ingest.StatusCompleted)
	require.Contains(t, w.filter.Statuses, ingest.StatusError)
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

// TestHowAFileStands: which attempt, when the next one comes, and why.
func TestHowAFileStands(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	file := openapi.FromFile(ingest.File{Status: ingest.StatusDownloading})
	waits := orchestrator.Progress{Attempt: 3, NextTry: now.Add(12 * time.Second), Failure: "the server hung up\x1b[2J"}
	for want, p := range map[string]orchestrator.Progress{
		`attempt 3, next try in 12s, because: the server hung up\x1b[2J`: waits,
		"attempt 1": {Attempt: 1, Running: true},
		"50%, 1.0 KiB/s, 1s left, attempt 2, because: cut": {Attempt: 2, Running: true, Done: 1024, Total: 2048, Rate: 1024, Failure: "cut"},
		"attempt 2 waits for a worker":                     {Attempt: 2},
		"attempt 2, paused in Temporal, because: cut":      {Attempt: 2, Paused: true, Failure: "cut"},
	} {
		require.Equal(t, want, stands(file, *openapi.FromProgress(p), true, now))
	}
	require.Equal(t, "-", stands(file, openapi.Progress{}, false, now))
	require.Equal(t, "denied", stands(openapi.FromFile(ingest.File{Status: ingest.StatusError, ErrorMessage: "denied"}), openapi.Progress{}, false, now))
	require.Equal(t, "waits for a.done", stands(openapi.FromFile(ingest.File{Status: ingest.StatusDiscovered, WaitsFor: "a.done"}), openapi.Progress{}, false, now))
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish"} {
		got := execute(t, world(), args("completion", shell))
		require.Equal(t, 0, got.code, got.errors)
		require.Contains(t, got.out, "stevedore")
	}
	require.Contains(t, execute(t, world(), args("__complete", "server", "show", "ac")).out, "acme\n")
	require.NotContains(t, execute(t, world(), args("__complete", "server", "show", "ac")).out, "globex")
	require.Contains(t, execute(t, world(), args("__complete", "scan", "--server", "")).out, "globex\n")
	require.Contains(t, execute(t, world(), args("__complete", "file", "list", "--status", "")).out, "superseded\n")
	require.Contains(t, execute(t, world(), args("__complete", "-o", "")).out, "jsonl\n")
}

func TestKeyRotate(t *testing.T) {
	t.Parallel()
	ops := world()
	got := execute(t, ops, args("key", "rotate", "--keyset-file", "/k", "--key-only"))
	require.Equal(t, 0, got.code, got.errors)
	require.True(t, ops.rotated.KeyOnly)
	require.Contains(t, got.out, "copy the file to every host")
	require.Equal(t, exitPermanent, execute(t, world(), args("key", "rotate")).code, "which file?")
}
