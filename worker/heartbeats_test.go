package worker

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
)

func TestOnlyADefiniteResponseEndsAStep(t *testing.T) {
	t.Parallel()
	for _, end := range []error{
		temporal.NewCanceledError(), activity.ErrActivityPaused, activity.ErrActivityReset,
		serviceerror.NewNotFound("activity not found"),
	} {
		assert.True(t, endsStep(end), "%v", end)
	}
	for _, passing := range []error{
		context.DeadlineExceeded, serviceerror.NewUnavailable("shard status unknown"), serviceerror.NewDeadlineExceeded("slow"),
		serviceerror.NewNamespaceNotFound("default"), serviceerror.NewInternal("database is locked"),
		serviceerror.NewResourceExhausted(0, "busy"),
	} {
		assert.False(t, endsStep(passing), "%v", passing)
	}
}
