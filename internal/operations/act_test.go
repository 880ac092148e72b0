package operations

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/workflows"
)

func TestDecide(t *testing.T) {
	t.Parallel()
	by := workflows.OperatorAction{Actor: "ann", Reason: "fixed"}
	for name, c := range map[string]struct {
		status  ingest.Status
		action  ingest.Action
		answer  error
		kind    ingest.Kind
		want    string
		decided int
		ingests int
		taken   bool
	}{
		"retry of a failed file":      {status: ingest.StatusError, action: ingest.ActionRetry, decided: 1},
		"skip of a failed file":       {status: ingest.StatusError, action: ingest.ActionSkip, decided: 1},
		"retry of one in flight":      {status: ingest.StatusDownloading, action: ingest.ActionRetry, kind: ingest.KindConflict, want: "is downloading"},
		"retry whose answer was lost": {status: ingest.StatusDownloading, action: ingest.ActionRetry, taken: true},
		"skip of a completed one":     {status: ingest.StatusCompleted, action: ingest.ActionSkip, kind: ingest.KindConflict, want: "is completed"},
		"renotify of a completed one": {status: ingest.StatusCompleted, action: ingest.ActionRenotify, ingests: 1},
		"renotify of one in flight":   {status: ingest.StatusUploading, action: ingest.ActionRenotify, kind: ingest.KindConflict, want: "is uploading"},
		"renotify of a failed one":    {status: ingest.StatusError, action: ingest.ActionRenotify, decided: 1},
		"its new workflow has ended": {
			status: ingest.StatusError, action: ingest.ActionRetry, answer: ingest.Errorf(ingest.KindMissing, "gone"),
			kind: ingest.KindConflict, want: "has just ended", decided: 2, ingests: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup()
			b.engine.decide, b.engine.taken = func(string) error { return c.answer }, c.taken
			b.ledger.files = []ingest.File{{ID: 1, UUID: "uuid-1", RemotePath: "/in/a.csv", Status: c.status}}
			_, err := b.ActOnFile(t.Context(), "uuid-1", c.action, by)
			assert.Len(t, b.engine.decided, c.decided)
			assert.Len(t, b.engine.ingests, c.ingests)
			if c.kind == "" {
				require.NoError(t, err)
				return
			}
			assert.Equal(t, c.kind, ingest.KindOf(err))
			assert.ErrorContains(t, err, c.want)
		})
	}
}

// A reason is stored as one printable line, because terminals show it from the ledger, the
// audit log and Temporal.
func TestAReasonIsOneLineThatCanBeSeen(t *testing.T) {
	t.Parallel()
	b := setup()
	b.ledger.files = []ingest.File{{ID: 1, UUID: "uuid-1", RemotePath: "/in/a.csv", Status: ingest.StatusError}}
	_, err := b.ActOnFile(t.Context(), "uuid-1", ingest.ActionSkip, workflows.OperatorAction{Actor: "ann", Reason: "two\nlines\x7f\x1b[2Jпочинено"})
	require.NoError(t, err)
	assert.Equal(t, `two\nlines\x7f\x1b[2Jпочинено`, b.engine.reason)
}

// The action starts a workflow: a file that never settled has none, and one in Temporal can
// be cancelled or terminated.
func TestActionsOnAFileWithoutWorkflow(t *testing.T) {
	t.Parallel()
	for kind, c := range map[ingest.Kind]struct{ failed, from ingest.Step }{
		ingest.KindUnsettled: {ingest.StepDiscover, ingest.StepDownload},
		ingest.KindCancelled: {ingest.StepUpload, ingest.StepUpload},
	} {
		b := setup()
		b.engine.decide = func(string) error {
			if len(b.engine.ingests) == 0 {
				return ingest.Errorf(ingest.KindMissing, "gone")
			}
			return nil
		}
		b.ledger.files = []ingest.File{{
			ID: 1, UUID: "uuid-1", RemotePath: "/in/a.csv", Status: ingest.StatusError, Mode: ingest.ModeStaged,
			ErrorStep: c.failed, ErrorKind: kind, ErrorMessage: "why",
		}}
		_, err := b.ActOnFile(t.Context(), "uuid-1", ingest.ActionSkip, workflows.OperatorAction{Actor: "ann", Reason: "a log"})
		require.NoError(t, err)
		require.Len(t, b.engine.ingests, 1)
		assert.Equal(t, &ingest.Failure{Step: c.from, Kind: kind, Message: "why"}, b.engine.ingests[0].Failure)
		assert.Len(t, b.engine.decided, 2)
	}
}

// A file that has not started can be skipped: its server may be paused, or the file that it
// waits for may never arrive.
func TestAFileThatHasNotBegunCanBeSkipped(t *testing.T) {
	t.Parallel()
	b := setup()
	b.ledger.files = []ingest.File{
		{ID: 1, UUID: "uuid-1", RemotePath: "/in/a.csv", Status: ingest.StatusDiscovered},
		{ID: 2, UUID: "uuid-2", RemotePath: "/in/b.csv", Status: ingest.StatusReady},
		{ID: 3, UUID: "uuid-3", RemotePath: "/in/c.csv", Status: ingest.StatusDownloading},
	}
	b.ledger.begun = "uuid-2"
	_, err := b.ActOnFile(t.Context(), "uuid-2", ingest.ActionSkip, workflows.OperatorAction{Reason: "x"})
	require.ErrorContains(t, err, "has just started")
	_, err = b.ActOnFile(t.Context(), "uuid-1", ingest.ActionRetry, workflows.OperatorAction{Reason: "x"})
	require.ErrorContains(t, err, "can be skipped")
	_, err = b.ActOnFile(t.Context(), "uuid-3", ingest.ActionSkip, workflows.OperatorAction{Reason: "x"})
	require.ErrorContains(t, err, "/in/c.csv is downloading: skip requires status error")

	bulk := func(filter ingest.FileFilter, action ingest.Action) int64 {
		result, err := b.ActOnFiles(t.Context(), BulkRequest{Filter: filter, Action: action, DryRun: true})
		require.NoError(t, err)
		return result.Matched
	}
	all := ingest.FileFilter{Statuses: []ingest.Status{ingest.StatusError, ingest.StatusDiscovered, ingest.StatusDownloading}}
	require.EqualValues(t, 1, bulk(all, ingest.ActionSkip), "by the status that is named")
	require.EqualValues(t, 0, bulk(all, ingest.ActionRetry))
	require.EqualValues(t, 0, bulk(ingest.FileFilter{}, ingest.ActionSkip), "a filter alone means files in error")
	require.EqualValues(t, 2, bulk(ingest.FileFilter{UUIDs: []string{"uuid-1", "uuid-2", "uuid-3"}}, ingest.ActionSkip))

	_, err = b.ActOnFile(t.Context(), "uuid-1", ingest.ActionSkip, workflows.OperatorAction{Reason: "never comes"})
	require.NoError(t, err)
	require.Equal(t, ingest.StatusSkipped, b.ledger.files[0].Status)
	require.Equal(t, []string{"uuid-1 never comes"}, b.ledger.decided)
	require.Equal(t, "file.skip", b.ledger.audited[len(b.ledger.audited)-1].Action)
}
