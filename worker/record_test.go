package worker_test

import (
	"os"
	"path/filepath"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// recordVariable names the variable with the folder to record histories into, for
// workflows/testdata/replay. It is set once per release, to record its code.
const recordVariable = "STEVEDORE_TEST_RECORD"

// record writes the history of a workflow's latest run, if histories are being
// recorded.
func (h *cluster) record(name, workflowID string) {
	h.T.Helper()
	h.recordRun(name, workflowID, "")
}

// recordRun is record for one run of the workflow.
func (h *cluster) recordRun(name, workflowID, runID string) {
	h.T.Helper()
	dir := os.Getenv(recordVariable)
	if dir == "" {
		return
	}
	var history historypb.History
	events := h.Temporal.GetWorkflowHistory(h.Ctx, workflowID, runID, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		require.NoError(h.T, err)
		history.Events = append(history.Events, event)
	}
	text, err := protojson.MarshalOptions{Multiline: true}.Marshal(&history)
	require.NoError(h.T, err)
	require.NoError(h.T, os.MkdirAll(dir, 0o755))
	require.NoError(h.T, os.WriteFile(filepath.Join(dir, name+".json"), text, 0o644))
}
