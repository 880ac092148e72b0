package orchestrator

import (
	"testing"

	"github.com/stretchr/testify/require"
	failurepb "go.temporal.io/api/failure/v1"
)

// TestCauseIsTheApplicationFailure: not the driver's message below it.
func TestCauseIsTheApplicationFailure(t *testing.T) {
	t.Parallel()
	application := &failurepb.Failure_ApplicationFailureInfo{ApplicationFailureInfo: &failurepb.ApplicationFailureInfo{Type: "transient"}}
	driver := &failurepb.Failure{Message: `sftp: "i/o timeout" (SSH_FX_FAILURE)`, FailureInfo: application}
	shown := &failurepb.Failure{Message: "the server does not respond\x1b[2J", FailureInfo: application, Cause: driver}
	around := &failurepb.Failure{
		Message: "activity error", Cause: shown,
		FailureInfo: &failurepb.Failure_ActivityFailureInfo{ActivityFailureInfo: &failurepb.ActivityFailureInfo{}},
	}
	require.Equal(t, `the server does not respond\x1b[2J`, causeOf(shown))
	require.Equal(t, `the server does not respond\x1b[2J`, causeOf(around))
	require.Equal(t, "activity Heartbeat timeout", causeOf(&failurepb.Failure{
		Message: "activity Heartbeat timeout", FailureInfo: &failurepb.Failure_TimeoutFailureInfo{TimeoutFailureInfo: &failurepb.TimeoutFailureInfo{}},
	}))
	require.Empty(t, causeOf(nil))
}
