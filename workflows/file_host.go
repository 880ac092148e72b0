package workflows

import (
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"stevedore/activities"
	"stevedore/internal/ingest"
)

// claimHost finds a worker with room for the file, beginning with the one that
// runs this workflow task.
func (f *fileIngest) claimHost(ctx workflow.Context) error {
	if f.host.Queue != "" {
		return nil
	}
	in := activities.ClaimHostInput{FileUUID: f.in.FileUUID, Size: f.in.Size}
	purpose := "find a worker with room for " + size(f.in.Size)
	return localFirst(ctx, activities.NameClaimHost, purpose, in, &f.host, func() error {
		return workflow.ExecuteActivity(about(withClaim(ctx), purpose), activities.NameClaimHost, in).Get(ctx, &f.host)
	})
}

// onHost runs a step on the worker that has the staged bytes. Waiting too long
// there is not yet its death: a busy host still polls, and then the wait goes on.
func (f *fileIngest) onHost(ctx workflow.Context, queue string, policy *temporal.RetryPolicy, name, purpose string, in any) error {
	if f.host.Queue == "" { // a retry from a later step finds no host: go and fetch
		return temporal.NewApplicationError("no host has the file staged", string(ingest.KindStagingLost))
	}
	for {
		err := workflow.ExecuteActivity(about(withHost(ctx, queue, f.host.Timeout, policy), purpose), name, in).Get(ctx, nil)
		if !hostTimedOut(err) {
			return err
		}
		var check activities.CheckHostResult
		in := activities.CheckHostInput{Queue: f.host.Queue}
		asking := about(withQuick(ctx), "does "+f.host.Queue+" live?")
		if err := workflow.ExecuteActivity(asking, activities.NameCheckHost, in).Get(ctx, &check); err != nil {
			return err
		}
		if !check.Alive {
			return err
		}
	}
}
