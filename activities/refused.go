package activities

import (
	"context"

	"go.temporal.io/sdk/activity"

	"stevedore/internal/ingest"
)

// unlessRefused runs fn, which logs in to a server, unless an earlier attempt got a
// server-level refusal: servers lock accounts by counting refusals. Another attempt may
// only be needed because the refusal could not be recorded. Attempts pass a refusal on in
// their heartbeats; before is the refusal of TryListing, or nil.
func unlessRefused(ctx context.Context, before *ingest.Failure, fn func() error) error {
	last := Progress{Refused: before}
	if activity.HasHeartbeatDetails(ctx) {
		_ = activity.GetHeartbeatDetails(ctx, &last) // unreadable details: no refusal
	}
	if last.Refused != nil {
		return ingest.Errorf(last.Refused.Kind, "%s", last.Refused.Message)
	}
	err := fn()
	if kind := ingest.KindOf(err); kind.ServerLevel() {
		activity.RecordHeartbeat(ctx, Progress{Refused: &ingest.Failure{Step: ingest.StepDiscover, Kind: kind, Message: ingest.Message(err)}})
	}
	return err
}
