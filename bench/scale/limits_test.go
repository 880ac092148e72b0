package scale_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"google.golang.org/protobuf/proto"

	"stevedore/bench/scale"
	"stevedore/internal/test/sandbox"
)

// Temporal's limits: at the first two it suggests to continue as new; at the third it
// logs a warning.
const (
	limitEvents  = 4096
	limitHistory = 4 << 20
	limitPayload = 512 << 10
	// limitPending is far below Temporal's limit of 2,000. A scan has three activities:
	// its listing, its recheck of settling files, and its dispatcher.
	limitPending = 10
)

// requireLimits follows all runs of a workflow that has ended, from its latest
// back to its first, and fails if one has too many or too large events.
func requireLimits(t *testing.T, h *sandbox.Cluster, workflowID string) {
	t.Helper()
	runs, runID := 0, ""
	var events, size int64
	largest := 0
	for {
		runs++
		described, err := h.Temporal.DescribeWorkflowExecution(h.Context(t), workflowID, runID)
		require.NoError(t, err)
		info := described.GetWorkflowExecutionInfo()
		events, size = max(events, info.GetHistoryLength()), max(size, info.GetHistorySizeBytes())
		history := h.Temporal.GetWorkflowHistory(h.Context(t), workflowID, runID, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		runID = ""
		for history.HasNext() {
			event, err := history.Next()
			require.NoError(t, err)
			largest = max(largest, proto.Size(event)) // no payload is larger than its event
			runID = max(runID, continuedFrom(event))
		}
		if runID == "" {
			break
		}
	}
	scale.Figure(t, "%s: %d runs, at most %d events, %d bytes of history and %d bytes in one event", workflowID, runs, events, size, largest)
	require.Less(t, events, int64(limitEvents))
	require.Less(t, size, int64(limitHistory))
	require.Less(t, largest, limitPayload)
}

// continuedFrom returns the id of the previous run if the event is the first of its run.
func continuedFrom(event *historypb.HistoryEvent) string {
	return event.GetWorkflowExecutionStartedEventAttributes().GetContinuedExecutionRunId()
}

// limitWatch polls values that only running workflows have: pending activities and their
// heartbeats.
type limitWatch struct {
	h    *sandbox.Cluster
	stop context.CancelFunc
	done sync.WaitGroup
	// looks counts observations of a pending activity.
	looks, pending, heartbeat int
}

func watchLimits(t *testing.T, h *sandbox.Cluster, workflowIDs ...string) *limitWatch {
	ctx, stop := context.WithCancel(h.Context(t))
	w := &limitWatch{h: h, stop: stop}
	t.Cleanup(stop)
	w.done.Go(func() {
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		for {
			for _, id := range workflowIDs {
				if described, err := h.Temporal.DescribeWorkflowExecution(ctx, id, ""); err == nil {
					w.look(described.GetPendingActivities())
				}
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	})
	return w
}

func (w *limitWatch) look(pending []*workflowpb.PendingActivityInfo) {
	w.pending = max(w.pending, len(pending))
	for _, activity := range pending {
		w.looks++
		w.heartbeat = max(w.heartbeat, proto.Size(activity.GetHeartbeatDetails()))
	}
}

// require ends the polling. It fails if a limit was exceeded or nothing was seen.
func (w *limitWatch) require(t *testing.T) {
	t.Helper()
	w.stop()
	w.done.Wait()
	scale.Figure(t, "at most %d pending activities of a scan, %d bytes of heartbeat details (%d looks)", w.pending, w.heartbeat, w.looks)
	require.Positive(t, w.looks, "no pending activity was seen")
	require.Positive(t, w.heartbeat, "no heartbeat was seen")
	require.LessOrEqual(t, w.pending, limitPending)
	require.Less(t, w.heartbeat, limitPayload)
}
