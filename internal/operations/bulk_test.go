package operations

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/orchestrator"
	"stevedore/workflows"
)

// inError returns a bundle with n failed files, "file-0001" and so on.
func inError(n int) *bundle {
	b := setup()
	for i := range n {
		b.ledger.files = append(b.ledger.files, ingest.File{ID: int64(i + 1), UUID: fmt.Sprintf("file-%04d", i+1), Status: ingest.StatusError})
	}
	return b
}

func retryAll() BulkRequest {
	return BulkRequest{Action: ingest.ActionRetry, Details: workflows.OperatorAction{Actor: "ann", Reason: "fixed"}}
}

// Later requests reach all files, although the ledger shows actions with a delay and some
// files always refuse them.
func TestRefusedFilesHideNoneBehindThem(t *testing.T) {
	t.Parallel()
	b := inError(maxBulk + 200)
	b.engine.decide = func(uuid string) error {
		if uuid <= fmt.Sprintf("file-%04d", maxBulk) {
			return ingest.Errorf(ingest.KindConflict, "no")
		}
		return nil
	}
	request := retryAll()
	first, err := b.ActOnFiles(t.Context(), request)
	require.NoError(t, err)
	require.EqualValues(t, maxBulk, first.Failed)
	require.Len(t, first.Failures, maxBulkFailures)
	require.EqualValues(t, 200, first.Remaining)
	request.Cursor = first.Next
	second, err := b.ActOnFiles(t.Context(), request)
	require.NoError(t, err)
	require.Equal(t, BulkResult{Matched: 200, Done: 200}, second)
	require.Len(t, b.engine.decided, maxBulk+200, "each was asked about once")

	request.Cursor = "of another listing"
	_, err = b.ActOnFiles(t.Context(), request)
	require.Equal(t, ingest.KindInvalid, ingest.KindOf(err))
}

func TestADecisionTakenBeforeIsNoRefusal(t *testing.T) {
	t.Parallel()
	b := inError(2)
	b.engine.decideErr = ingest.Wrap(ingest.KindConflict, orchestrator.ErrActionPending, workflows.ActionPending)
	result, err := b.ActOnFiles(t.Context(), retryAll())
	require.NoError(t, err)
	require.Equal(t, BulkResult{Matched: 2, Done: 2}, result)
}

// A transient failure of one file does not cancel other actions and is in the result.
func TestOneFailureCancelsNoOtherDecision(t *testing.T) {
	t.Parallel()
	b := inError(40)
	away := ingest.Errorf(ingest.KindTransient, "Temporal does not answer")
	b.engine.decide = func(uuid string) error {
		if uuid == "file-0003" {
			return away
		}
		return nil
	}
	result, err := b.ActOnFiles(t.Context(), retryAll())
	require.NoError(t, err)
	require.ErrorContains(t, result.Err, away.Error())
	result.Err = nil
	require.Equal(t, BulkResult{Matched: 40, Done: 39, Remaining: 1, Next: "2"}, result)

	b = inError(maxBulk)
	b.engine.decideErr = away
	result, err = b.ActOnFiles(t.Context(), retryAll())
	require.ErrorContains(t, err, away.Error(), "nothing was done")
	require.EqualValues(t, maxBulk, result.Remaining)
	require.Less(t, len(b.engine.decided), 3*bulkConcurrency, "the rest was not tried")
}

// A batch ends before its deadline, so that the completed actions are counted.
func TestABatchEndsBeforeItsDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := inError(maxBulk)
		b.engine.decide = func(string) error {
			time.Sleep(time.Second)
			return nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		result, err := b.ActOnFiles(ctx, retryAll())
		require.NoError(t, err)
		require.NoError(t, ctx.Err())
		require.NoError(t, result.Err, "a batch that has to be continued is no failure")
		require.EqualValues(t, len(b.engine.decided), result.Done)
		require.Greater(t, result.Done, int64(50))
		require.Equal(t, fmt.Sprint(result.Done), result.Next)
		require.Equal(t, maxBulk-result.Done, result.Remaining)
	})
}

func TestABulkActionChecksForAWorkerOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := inError(20)
		var checks atomic.Int32
		var down error
		deps := b.d
		deps.Checks = []Check{{Part: PartWorker, Run: func(context.Context) error { checks.Add(1); return down }}}
		b.Service = New(deps)
		result, err := b.ActOnFiles(t.Context(), retryAll())
		require.NoError(t, err)
		require.EqualValues(t, 20, result.Done)
		require.EqualValues(t, 1, checks.Load())
		down = orchestrator.ErrNoWorker
		_, err = b.ActOnFiles(t.Context(), retryAll())
		require.ErrorContains(t, err, "no worker", "the next request checks again")
	})
}
