package ingest_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

// madeBySQL lists the events written by the ledger's own SQL.
var madeBySQL = []ingest.EventType{ingest.EventDiscovered, ingest.EventSettled, ingest.EventRejected}

// changeCase is one call of a constructor.
type changeCase struct {
	// constructor is the function's name in change.go.
	constructor string
	// from are the statuses in which the constructor is used.
	from   []ingest.Status
	change func(ingest.File) ingest.Change
	// to is the resulting status; empty means unchanged.
	to     ingest.Status
	events []ingest.EventType
	// frees reports whether the slot is released.
	frees bool
}

var (
	working = []ingest.Status{ // statuses before the object is stored
		ingest.StatusDownloading, ingest.StatusDownloaded, ingest.StatusVerified, ingest.StatusUploading,
	}
	failure = ingest.Failure{Step: ingest.StepDownload, Kind: ingest.KindTransient, Message: "connection reset"}
	fetched = ingest.Fetched{Mode: ingest.ModeDirect, Size: 3 << 20, SHA256: "abc", Took: 2 * time.Second}
	object  = ingest.Object{Bucket: "ingest", Key: "files/2026/01/u/a.csv", Size: 3 << 20, ETag: "etag", Checksum: "sum"}
	receipt = ingest.Receipt{Queue: "q", MessageID: "m"}
)

func statuses(s ...ingest.Status) []ingest.Status { return s }

func changeCases() []changeCase {
	event := func(types ...ingest.EventType) []ingest.EventType { return types }
	ready := slices.Concat(statuses(ingest.StatusReady), working)
	cases := []changeCase{
		{"Started", ready, func(f ingest.File) ingest.Change { return ingest.Started(f, ingest.ModeStaged, 7, "host") },
			ingest.StatusDownloading, event(ingest.EventDownloadStarted), false},
		{"Resumed", statuses(ingest.StatusDownloading), func(f ingest.File) ingest.Change { return ingest.Resumed(f, 1<<20) },
			"", event(ingest.EventDownloadResumed), false},
		{"Downloaded", statuses(ingest.StatusDownloading), func(f ingest.File) ingest.Change { return ingest.Downloaded(f, fetched, "host") },
			ingest.StatusDownloaded, event(ingest.EventDownloaded), false},
		{"Verified", statuses(ingest.StatusDownloaded), func(f ingest.File) ingest.Change { return ingest.Verified(f, "transfer") },
			ingest.StatusVerified, event(ingest.EventVerified), false},
		{"UploadStarted", statuses(ingest.StatusVerified, ingest.StatusUploading),
			func(f ingest.File) ingest.Change { return ingest.UploadStarted(f, object.Bucket, object.Key) },
			ingest.StatusUploading, event(ingest.EventUploadStart), false},
		{"DirectUploadStarted", statuses(ingest.StatusDownloading),
			func(f ingest.File) ingest.Change { return ingest.DirectUploadStarted(f, object.Bucket, object.Key) },
			"", event(ingest.EventUploadStart), false},
		{"Uploaded", statuses(ingest.StatusUploading), func(f ingest.File) ingest.Change { return ingest.Uploaded(f, object) },
			ingest.StatusUploaded, event(ingest.EventUploaded), false},
		{"Transferred", statuses(ingest.StatusDownloading),
			func(f ingest.File) ingest.Change { return ingest.Transferred(f, fetched, "transfer", object) },
			ingest.StatusUploaded,
			event(ingest.EventDownloaded, ingest.EventVerified, ingest.EventUploadStart, ingest.EventUploaded), false},
		{"Completed", statuses(ingest.StatusUploaded), func(f ingest.File) ingest.Change { return ingest.Completed(f, receipt, false) },
			ingest.StatusCompleted, event(ingest.EventNotified), true},
		{"Completed", statuses(ingest.StatusUploaded), func(f ingest.File) ingest.Change { return ingest.Completed(f, receipt, true) },
			ingest.StatusCompleted, event(ingest.EventNotified), false},
		{"Renotified", statuses(ingest.StatusCompleted), func(f ingest.File) ingest.Change {
			return ingest.Renotified(f, receipt, ingest.OperatorAction{Action: ingest.ActionRenotify, Actor: "ann", Reason: "lost", Key: "key"})
		},
			"", event(ingest.EventOperatorAction), false},
		{"SourceDone", statuses(ingest.StatusCompleted),
			func(f ingest.File) ingest.Change {
				return ingest.SourceDone(f, "", map[string]any{"action": "move", "moved_to": "/done/a.csv"})
			},
			ingest.StatusCompleted, event(ingest.EventSourceDone), true},
		{"SourceFailed", statuses(ingest.StatusCompleted), func(f ingest.File) ingest.Change { return ingest.SourceFailed(f, failure) },
			"", event(ingest.EventError), true},
		{"SourceLeft", statuses(ingest.StatusCompleted), func(f ingest.File) ingest.Change { return ingest.SourceLeft(f, "not allowed") },
			"", nil, true},
		{"RetryScheduled", slices.Concat(working, statuses(ingest.StatusUploaded)), func(f ingest.File) ingest.Change { return ingest.RetryScheduled(f, failure, 3) },
			"", event(ingest.EventRetryScheduled), false},
		{"Failed", slices.Concat(ready, statuses(ingest.StatusUploaded)), func(f ingest.File) ingest.Change { return ingest.Failed(f, failure) },
			ingest.StatusError, event(ingest.EventError), true},
		{"RemovedFromServer", statuses(ingest.StatusReady, ingest.StatusDownloading),
			func(f ingest.File) ingest.Change { return ingest.RemovedFromServer(f, ingest.StatusVanished, failure) },
			ingest.StatusVanished, event(ingest.EventVanished), true},
		{"RemovedFromServer", statuses(ingest.StatusReady, ingest.StatusDownloading),
			func(f ingest.File) ingest.Change {
				return ingest.RemovedFromServer(f, ingest.StatusSuperseded, failure)
			},
			ingest.StatusSuperseded, event(ingest.EventSuperseded), true},
		{"TimeShifted", statuses(ingest.StatusDownloading, ingest.StatusDownloaded),
			func(f ingest.File) ingest.Change { return ingest.TimeShifted(f, time.Unix(1, 0)) }, "", nil, false},
		{"VanishedWhileSettling", statuses(ingest.StatusDiscovered, ingest.StatusError), ingest.VanishedWhileSettling,
			ingest.StatusVanished, event(ingest.EventVanished), false},
		{"ExcludedBySettings", statuses(ingest.StatusDiscovered), ingest.ExcludedBySettings, ingest.StatusVanished, event(ingest.EventVanished), false},
		{"Requeued", slices.Concat(ready, statuses(ingest.StatusError)), func(f ingest.File) ingest.Change { return ingest.Requeued(f, 7, "no slot", "key") },
			ingest.StatusReady, event(ingest.EventRequeued), true},
		{"Deferred", slices.Concat(ready, statuses(ingest.StatusError)), func(f ingest.File) ingest.Change { return ingest.Deferred(f, failure, 10, 7, "key") },
			ingest.StatusReady, event(ingest.EventDeferred), true},
		decided(ingest.ActionSkip, ingest.StepUpload, ingest.StatusSkipped),
		decided(ingest.ActionRenotify, ingest.StepNotify, ingest.StatusUploaded),
	}
	for _, mode := range ingest.Modes {
		for _, info := range ingest.StepsOf(mode) {
			cases = append(cases, decided(ingest.ActionRetry, info.Step, info.Entry))
		}
	}
	return cases
}

func decided(action ingest.Action, from ingest.Step, to ingest.Status) changeCase {
	return changeCase{"OperatorActed", statuses(ingest.StatusError), func(f ingest.File) ingest.Change {
		return ingest.OperatorActed(f.UUID, ingest.OperatorAction{Action: action, From: from, Actor: "ann", Reason: "cleared", Key: "key"})
	}, to, []ingest.EventType{ingest.EventOperatorAction}, true}
}

// TestChanges checks status, events and detail keys of each change, and that the
// status transition is allowed.
func TestChanges(t *testing.T) {
	t.Parallel()
	for _, tc := range changeCases() {
		for _, from := range tc.from {
			t.Run(tc.constructor+" of "+string(from), func(t *testing.T) {
				t.Parallel()
				change := tc.change(ingest.File{UUID: "u", ServerName: "acme", Status: from, Hash: "abc", Fence: 5})
				assert.Equal(t, "u", change.FileUUID)
				assert.Equal(t, tc.to, change.To)
				if change.To != "" {
					assert.True(t, from.CanBecome(change.To), "%s -> %s", from, change.To)
				}
				assert.Equal(t, tc.frees, change.FreeSlot, "releases the slot")
				if change.NewRound {
					assert.NotEmpty(t, change.Events[0].Key, "the ledger detects a repeated round by this key")
				}
				assertDocumented(t, tc.events, change.Events)
			})
		}
	}
}

func assertDocumented(t *testing.T, want []ingest.EventType, events []ingest.Event) {
	t.Helper()
	var types []ingest.EventType
	for _, event := range events {
		types = append(types, event.Type)
		require.Contains(t, ingest.EventKeys, event.Type)
		for _, key := range ingest.EventKeys[event.Type] {
			assert.Contains(t, event.Details, key, "%s: consumers read this key", event.Type)
		}
		_, err := json.Marshal(event.Details)
		assert.NoError(t, err)
	}
	assert.Equal(t, want, types)
}

// Only operator actions and the recheck of settling files change a file without
// claiming it.
func TestChangesOfWorkflowsAreFenced(t *testing.T) {
	t.Parallel()
	unfenced := []string{"OperatorActed", "VanishedWhileSettling", "ExcludedBySettings"}
	for _, tc := range changeCases() {
		change := tc.change(ingest.File{UUID: "u", Status: tc.from[0], Fence: 5})
		assert.Equal(t, slices.Contains(unfenced, tc.constructor), change.Fence == 0, tc.constructor)
	}
}

// Every exported function of change.go that returns a Change must be in changeCases.
// Every event type must be made by one of them or by SQL.
func TestEachConstructorIsInTheTable(t *testing.T) {
	t.Parallel()
	tested, made := map[string]bool{}, map[ingest.EventType]bool{}
	for _, tc := range changeCases() {
		tested[tc.constructor] = true
		for _, event := range tc.events {
			made[event] = true
		}
	}
	assert.ElementsMatch(t, constructors(t), slices.Collect(maps.Keys(tested)))
	for _, event := range madeBySQL {
		assert.False(t, made[event], "%s is made by a constructor", event)
		made[event] = true
	}
	assert.ElementsMatch(t, slices.Collect(maps.Keys(ingest.EventKeys)), slices.Collect(maps.Keys(made)))
}

// constructors returns the names of the exported functions in change.go that
// return a Change.
func constructors(t *testing.T) (names []string) {
	t.Helper()
	for _, decl := range parse(t, "change.go").Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok || fn.Recv != nil || !fn.Name.IsExported() || fn.Type.Results == nil {
			continue
		}
		for _, result := range fn.Type.Results.List {
			if name, ok := result.Type.(*ast.Ident); ok && name.Name == "Change" {
				names = append(names, fn.Name.Name)
			}
		}
	}
	return names
}

// Every event type in event.go must be in EventKeys.
func TestEachEventTypeIsDocumented(t *testing.T) {
	t.Parallel()
	var types []ingest.EventType
	ast.Inspect(parse(t, "event.go"), func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if name, ok := spec.Type.(*ast.Ident); ok && name.Name == "EventType" {
			for _, value := range spec.Values {
				text, err := strconv.Unquote(value.(*ast.BasicLit).Value)
				require.NoError(t, err)
				types = append(types, ingest.EventType(text))
			}
		}
		return true
	})
	assert.ElementsMatch(t, types, slices.Collect(maps.Keys(ingest.EventKeys)))
}

func parse(t *testing.T, file string) *ast.File {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	require.NoError(t, err)
	return parsed
}

// Consumers must see the same events and columns in every transfer mode.
func TestDirectTransferRecordsSameEventsAsStaged(t *testing.T) {
	t.Parallel()
	file := ingest.File{UUID: "u", Hash: fetched.SHA256}
	staged := fetched
	staged.Mode, staged.Path = ingest.ModeStaged, "/staging/u"
	var facts []ingest.Event
	for _, change := range []ingest.Change{
		ingest.Downloaded(file, staged, "host"), ingest.Verified(file, "transfer"),
		ingest.UploadStarted(file, object.Bucket, object.Key), ingest.Uploaded(file, object),
	} {
		facts = append(facts, change.Events...)
	}
	one := ingest.Transferred(ingest.File{UUID: "u"}, fetched, "transfer", object)
	assert.Equal(t, "/staging/u", facts[0].Details["temp_path"])
	assert.Equal(t, "direct:", one.Events[0].Details["temp_path"])
	facts[0].Details["temp_path"] = "direct:"
	assert.Equal(t, facts, one.Events)
	set := one.Set
	assert.Equal(t, []string{"abc", "sha256", object.Bucket, object.Key, object.ETag, object.Checksum},
		[]string{*set.Hash, *set.HashAlgo, *set.Bucket, *set.ObjectKey, *set.ETag, *set.Checksum})
	assert.Equal(t, ingest.Failure{}, *set.Error, "an earlier failure is cleared")
}

// Only some results of an after-ingest action imply that the source is gone.
func TestSourceGone(t *testing.T) {
	t.Parallel()
	file := ingest.File{Status: ingest.StatusCompleted}
	for name, c := range map[string]struct {
		left    string
		details map[string]any
		gone    bool
	}{
		"deleted":         {"", map[string]any{"action": "delete"}, true},
		"moved":           {"", map[string]any{"action": "move:/done", "moved_to": "/done/a.csv"}, true},
		"gone already":    {"", map[string]any{"action": "delete", "found": ingest.FoundGone}, true},
		"another version": {"", map[string]any{"action": "delete", "found": "another version"}, false},
		"name taken":      {"the name is taken", map[string]any{"action": "move:/done", "found": "the name taken"}, false},
		"companion left":  {"not allowed", map[string]any{"action": "delete"}, true},
	} {
		assert.Equal(t, c.gone, ingest.SourceDone(file, c.left, c.details).Set.SourceGone, name)
	}
}
