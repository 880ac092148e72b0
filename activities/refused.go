package activities

import (
	"context"

	"go.temporal.io/sdk/activity"

	"stevedore/internal/ingest"
)

// unlessRefused runs fn, which logs in to a server, unless an earlier attempt
// was refused as a whole: servers lock accounts by counting refusals, and the
// attempt may be repeated only because the database could not note the first.
// The refusal travels from attempt to attempt in the heartbeats; before, which may
// be nil, is that of a listing that was tried within the workflow task.
func unlessRefused(ctx context.Context, before *ingest.Failure, fn func() error) error {
	last := Progress{Refused: before}
	if activity.HasHeartbeatDetails(ctx) {
		_ = activity.GetHeartbeatDetails(ctx, &last) // unreadable: as if there were none
	}
	if last.Refused != nil {
		return ingest.Errorf(last.Refused.Kind, "%s", last.Refused.Message)
	}
	err := fn()
	if kind := ingest.KindOf(err); kind.ServerLevel() {
		activity.RecordHeartbeat(ctx, Progress{Refused: &ingest.Failure{Step: ingest.StepDiscover, Kind: kind, Message: message(err)}})
	}
	return err
}
