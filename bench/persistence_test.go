package bench

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCountWrites_IgnoresReads(t *testing.T) {
	t.Parallel()
	got, err := countWrites(`# HELP persistence_requests
persistence_requests{namespace="default",operation="UpdateWorkflowExecution",service_name="history"} 58
persistence_requests{namespace="system",operation="GetOrCreateShard",service_name="history"} 1
persistence_requests{namespace="system",operation="GetTransferTasks",service_name="history"} 30
persistence_requests{namespace="default",operation="ReadHistoryBranch",service_name="history"} 20
visibility_persistence_requests{namespace="default",operation="RecordWorkflowExecutionStarted",visibility_plugin_name="sqlite"} 4
persistence_latency_count{operation="UpdateWorkflowExecution"} 1000
`)
	require.NoError(t, err)
	assert.InDelta(t, 63, got, 0)
	_, err = countWrites("<html>")
	require.Error(t, err, "an answer without counters counts nothing")
}
