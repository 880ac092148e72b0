package workflows_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/workflow"

	"stevedore/activities"
	"stevedore/workflows"
)

// TestDiscoverFilesStaysForFilesThatArePutOff: the server may not be scanned
// again for a day.
func TestDiscoverFilesStaysForFilesThatArePutOff(t *testing.T) {
	t.Parallel()
	env, p := newEnv(t), newPort(0)
	p.listing.ScanInterval = 24 * time.Hour
	began, due := env.Now(), 4*time.Minute
	env.OnActivity(activities.NameNextReadyFiles, mock.Anything, mock.Anything).Return(
		func(context.Context, activities.NextReadyFilesInput) (activities.NextReadyFilesResult, error) {
			if past := env.Now().Sub(began); past < due {
				return activities.NextReadyFilesResult{DeferredFor: due - past}, nil
			}
			p.Lock()
			defer p.Unlock()
			if len(p.started) > 0 {
				return activities.NextReadyFilesResult{}, nil
			}
			return activities.NextReadyFilesResult{Files: []activities.ReadyFile{{UUID: "a", Summary: "/a", Size: 1}}}, nil
		})
	p.attach(env, takes(time.Second))

	discover(env)

	require.NoError(t, env.GetWorkflowError())
	assert.Equal(t, []string{"a"}, p.started)
	assert.Equal(t, 1, p.listings, "nobody had to ask for another scan")
	assert.Less(t, env.Now().Sub(began), due+time.Minute, "it does not stay longer than that")
}

// TestDiscoverFilesLooksAgainWhenAFileIsPutOff: the file is in the ledger then,
// and says for how long.
func TestDiscoverFilesLooksAgainWhenAFileIsPutOff(t *testing.T) {
	t.Parallel()
	env, p := newEnv(t), newPort(1)
	var asked []time.Duration
	began := env.Now()
	env.OnActivity(activities.NameNextReadyFiles, mock.Anything, mock.Anything).Return(
		func(_ context.Context, in activities.NextReadyFilesInput) (activities.NextReadyFilesResult, error) {
			asked = append(asked, env.Now().Sub(began))
			return p.next(in), nil
		})
	p.attach(env, func(ctx workflow.Context, in workflows.FileIngestInput) error {
		err := workflow.Sleep(ctx, time.Minute)
		env.SignalWorkflow(workflows.SignalSlotFreed, workflows.SlotFreed{FileUUID: in.FileUUID, Waiting: true})
		return err
	})

	discover(env)

	require.NoError(t, env.GetWorkflowError())
	require.GreaterOrEqual(t, len(asked), 2)
	assert.GreaterOrEqual(t, asked[len(asked)-1], time.Minute)
}

// TestDiscoverFilesAsksAgainOnceItIsWoken: what it read before may not be
// started any more, because its server has been paused since.
func TestDiscoverFilesAsksAgainOnceItIsWoken(t *testing.T) {
	t.Parallel()
	env, p := newEnv(t), newPort(10)
	p.listing.MaxParallel = 1
	pages := 0
	env.OnActivity(activities.NameNextReadyFiles, mock.Anything, mock.Anything).Return(
		func(_ context.Context, in activities.NextReadyFilesInput) (activities.NextReadyFilesResult, error) {
			if pages++; pages > 1 {
				return activities.NextReadyFilesResult{Halt: activities.Halt{Paused: true}}, nil
			}
			return p.next(in), nil
		})
	p.attach(env, takes(time.Minute))
	env.RegisterDelayedCallback(func() {
		env.SignalWorkflow(workflows.SignalSlotFreed, workflows.SlotFreed{Waiting: true})
	}, 30*time.Second)

	discover(env)

	require.NoError(t, env.GetWorkflowError())
	assert.Len(t, p.started, 1)
	assert.Equal(t, 2, pages)
}
