package activities

import (
	"context"

	"go.temporal.io/sdk/activity"

	"stevedore/internal/ingest"
)

// unlessRefused runs fn, which logs in to a server, unless an earlier attempt
// was refused as a whole: servers lock accounts by counting refusals, and the
// attempt may be repeated only because the database could not note the first.
// The refusal travels from attempt to attempt in the heartbeats.
func unlessRefused(ctx context.Context, fn func() error) error {
	var last Progress
	if activity.HasHeartbeatDetails(ctx) && activity.GetHeartbeatDetails(ctx, &last) == nil && last.Refused != nil {
		return ingest.Errorf(last.Refused.Kind, "%s", last.Refused.Message)
	}
	err := fn()
	if kind := ingest.KindOf(err); kind.ServerLevel() {
		activity.RecordHeartbeat(ctx, Progress{Refused: &ingest.Failure{Step: ingest.StepDiscover, Kind: kind, Message: message(err)}})
	}
	return err
}
