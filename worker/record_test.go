package worker_test

import (
	"os"
	"path/filepath"
	"testing"

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
func (h *cluster) record(t *testing.T, name, workflowID string) {
	t.Helper()
	h.recordRun(t, name, workflowID, "")
}

// recordRun is record for one run of the workflow.
func (h *cluster) recordRun(t *testing.T, name, workflowID, runID string) {
	t.Helper()
	dir := os.Getenv(recordVariable)
	if dir == "" {
		return
	}
	var history historypb.History
	events := h.Temporal.GetWorkflowHistory(h.Context(t), workflowID, runID, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		require.NoError(t, err)
		history.Events = append(history.Events, event)
	}
	text, err := protojson.MarshalOptions{Multiline: true}.Marshal(&history)
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, name+".json"), text, 0o644))
}
