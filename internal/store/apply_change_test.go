package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"stevedore/internal/ingest"
)

func TestClaimRaisesTheFence(t *testing.T) {
	t.Parallel()
	b := setup(t)
	f := b.ready(t, "/a")
	first, err := b.Claim(t.Context(), f.UUID)
	require.NoError(t, err)
	second, err := b.Claim(t.Context(), f.UUID)
	require.NoError(t, err)
	assert.Equal(t, []int64{f.Fence + 1, f.Fence + 2}, []int64{first.Fence, second.Fence})
	assert.Equal(t, "acme", second.ServerName)

	late := ingest.Change{FileUUID: f.UUID, Fence: first.Fence, To: ingest.StatusDownloading, Events: []ingest.Event{{Type: ingest.EventDownloadStarted}}}
	requireKind(t, ingest.KindFenced, b.Apply(t.Context(), late), "attempt 1 must stop")
	assert.Equal(t, ingest.StatusReady, b.only(t).Status)
	types, _ := b.eventTypes(t, f.UUID)
	assert.NotContains(t, types, ingest.EventDownloadStarted)

	late.Fence = second.Fence
	require.NoError(t, b.Apply(t.Context(), late))
	late.Fence, late.To = 0, ingest.StatusSkipped
	require.NoError(t, b.Apply(t.Context(), late), "an operator is not fenced")
}

func TestConcurrentClaimsGetDifferentFences(t *testing.T) {
	t.Parallel()
	b := setup(t)
	f := b.ready(t, "/a")
	const n = 16
	fences := make([]int64, n)
	var group errgroup.Group
	for i := range n {
		group.Go(func() error {
			claimed, err := b.Claim(t.Context(), f.UUID)
			fences[i] = claimed.Fence
			return err
		})
	}
	require.NoError(t, group.Wait())
	different := map[int64]bool{}
	for _, fence := range fences {
		different[fence] = true
	}
	require.Len(t, different, n)
}

func TestApplyIsAtomic(t *testing.T) {
	t.Parallel()
	b := setup(t)
	f := b.ready(t, "/a")
	hash, algo := "ab", "sha256"
	err := b.Apply(t.Context(), ingest.Change{
		FileUUID: f.UUID, To: ingest.StatusUploaded, Events: []ingest.Event{{Type: ingest.EventUploaded}},
		Set: ingest.Columns{Hash: &hash, HashAlgo: &algo},
	})
	requireKind(t, ingest.KindConflict, err, "is ready and cannot become uploaded")
	now := b.only(t)
	assert.Empty(t, now.Hash)
	types, _ := b.eventTypes(t, f.UUID)
	assert.NotContains(t, types, ingest.EventUploaded)
	assert.Equal(t, f.UpdatedAt, now.UpdatedAt)
}

func TestApplySetsAndClearsColumns(t *testing.T) {
	t.Parallel()
	b := setup(t)
	f := b.ready(t, "/a")
	text := func(s string) *string { return &s }
	apply := func(set ingest.Columns) ingest.File {
		require.NoError(t, b.Apply(t.Context(), ingest.Change{FileUUID: f.UUID, Set: set}))
		return b.only(t)
	}
	now := apply(ingest.Columns{
		Hash: text("ab"), HashAlgo: text("sha256"), Bucket: text("files"), ObjectKey: text("k"), ETag: text("e"),
		Error: &ingest.Failure{Step: ingest.StepUpload, Kind: ingest.KindTransient, Message: "reset by \x00peer \xff"},
	})
	assert.Equal(t, []string{"ab", "sha256", "files", "k", "e"}, []string{now.Hash, now.HashAlgo, now.Bucket, now.ObjectKey, now.ETag})
	assert.Equal(t, ingest.KindTransient, now.ErrorKind)
	assert.Equal(t, "reset by \ufffdpeer \ufffd", now.ErrorMessage)

	now = apply(ingest.Columns{ETag: text("e2")})
	assert.Equal(t, "e2", now.ETag)
	assert.Equal(t, ingest.KindTransient, now.ErrorKind, "unset columns are unchanged")
	assert.Equal(t, "ab", now.Hash)

	now = apply(ingest.Columns{Error: &ingest.Failure{}})
	assert.Empty(t, now.ErrorKind)
	assert.Empty(t, now.ErrorMessage)

	other := b.ready(t, "/b")
	err := b.Apply(t.Context(), ingest.Change{FileUUID: other.UUID, Set: ingest.Columns{ObjectKey: text("k")}})
	requireKind(t, ingest.KindConflict, err, "belongs to another file")
}

func TestCompletedFileKeepsItsTimeAndStatus(t *testing.T) {
	t.Parallel()
	b := setup(t)
	f := b.ready(t, "/a")
	b.walk(t, f.UUID, ingest.StatusDownloading, ingest.StatusDownloaded, ingest.StatusVerified,
		ingest.StatusUploading, ingest.StatusUploaded)
	assert.Zero(t, b.only(t).CompletedAt)
	b.walk(t, f.UUID, ingest.StatusCompleted)
	done := b.only(t)
	assert.WithinDuration(t, time.Now(), done.CompletedAt, time.Hour)
	b.walk(t, f.UUID, ingest.StatusCompleted)
	assert.Equal(t, done.CompletedAt, b.only(t).CompletedAt)
	err := b.Apply(t.Context(), ingest.Change{FileUUID: f.UUID, To: ingest.StatusReady})
	requireKind(t, ingest.KindConflict, err, "is completed and cannot become ready")
	require.NoError(t, b.Apply(t.Context(), ingest.Change{FileUUID: f.UUID, Events: []ingest.Event{{Type: ingest.EventSourceDone}}}))
}

func TestApplyIsIdempotent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	f := b.ready(t, "/a")
	start := ingest.Change{
		FileUUID: f.UUID, To: ingest.StatusDownloading,
		Events: []ingest.Event{
			{Type: ingest.EventDownloadStarted, Details: map[string]any{"server": "acme"}},
			{Type: ingest.EventDownloadResumed, Key: "5", Details: map[string]any{"offset": 5}},
		},
	}
	require.NoError(t, b.Apply(t.Context(), start))
	require.NoError(t, b.Apply(t.Context(), start))
	start.Events[1].Key = "9"
	require.NoError(t, b.Apply(t.Context(), start))
	types, _ := b.eventTypes(t, f.UUID)
	assert.Equal(t, []ingest.EventType{
		ingest.EventDiscovered, ingest.EventSettled,
		ingest.EventDownloadStarted, ingest.EventDownloadResumed, ingest.EventDownloadResumed,
	}, types)
}

func TestOperatorActionIsIdempotent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	f := b.ready(t, "/a")
	b.walk(t, f.UUID, ingest.StatusError)
	retry := ingest.Change{
		FileUUID: f.UUID, To: ingest.StatusReady, NewRound: true,
		Events: []ingest.Event{{Type: ingest.EventOperatorAction, Key: "run/1", Details: map[string]any{"actor": "ann"}}},
		Set:    ingest.Columns{Error: &ingest.Failure{}},
	}
	require.NoError(t, b.Apply(t.Context(), retry))
	require.NoError(t, b.Apply(t.Context(), retry))
	assert.Equal(t, 1, b.only(t).Round)

	b.walk(t, f.UUID, ingest.StatusDownloading)
	require.NoError(t, b.Apply(t.Context(), retry), "a late repetition is not a conflict")
	assert.Equal(t, ingest.StatusDownloading, b.only(t).Status, "and has no effect")

	b.walk(t, f.UUID, ingest.StatusError)
	retry.Events[0].Key = "run/2"
	require.NoError(t, b.Apply(t.Context(), retry))
	assert.Equal(t, 2, b.only(t).Round)
	retry.Events[0].Key = ""
	requireKind(t, ingest.KindInvalid, b.Apply(t.Context(), retry), "needs an event with a key")
}

func TestEventDetailsAcceptAnyText(t *testing.T) {
	t.Parallel()
	b := setup(t)
	f := b.ready(t, "/a")
	huge := make([]byte, 10_000)
	event := ingest.Event{Type: ingest.EventError, Key: string(huge), Details: map[string]any{
		"nul": "a\x00b", "backslash": `\u0000 \\u0000`, "bytes": "\xff", "step": ingest.StepUpload, "nested": []any{"\x00"},
	}}
	for range 2 {
		require.NoError(t, b.Apply(t.Context(), ingest.Change{FileUUID: f.UUID, Events: []ingest.Event{event}}))
	}
	types, details := b.eventTypes(t, f.UUID)
	require.Len(t, types, 3)
	assert.Equal(t, map[string]any{
		"nul": "a\ufffdb", "backslash": `\u0000 \\u0000`, "bytes": "\ufffd", "step": "upload", "nested": []any{"\ufffd"},
	}, details)
	event.Details = map[string]any{"bad": func() {}}
	requireKind(t, ingest.KindInvalid, b.Apply(t.Context(), ingest.Change{FileUUID: f.UUID, Events: []ingest.Event{event}}), "encode event details")
}

func TestEventsArePaged(t *testing.T) {
	t.Parallel()
	b := setup(t)
	f := b.ready(t, "/a")
	all, err := b.Events(t.Context(), f.UUID, 0, 0)
	require.NoError(t, err)
	require.Len(t, all, 2)
	first, err := b.Events(t.Context(), f.UUID, 0, 1)
	require.NoError(t, err)
	rest, err := b.Events(t.Context(), f.UUID, first[0].ID, 1)
	require.NoError(t, err)
	require.Equal(t, all, append(first, rest...))
	none, err := b.Events(t.Context(), f.UUID, rest[0].ID, 1)
	require.NoError(t, err)
	require.Empty(t, none)
}
