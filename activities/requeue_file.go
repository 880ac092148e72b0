package activities

import (
	"context"

	"stevedore/internal/ingest"
)

// RequeueFileInput names a file that gives up its place and waits for another.
type RequeueFileInput struct {
	FileUUID string `json:"file_uuid"`
	// Deferred, when set, is why the file could not be fetched: it is not taken
	// up again for some time. Without it the file waits only for its turn.
	Deferred *ingest.Failure `json:"deferred,omitempty"`
	// Attempts is how often it was tried, for the ledger.
	Attempts int32 `json:"attempts,omitempty"`
	// Key makes the wish unique, so that recording it twice is once.
	Key string `json:"key"`
}

// RequeueFile makes a file ready again, so that the scan of its server starts
// it when its place in the server's window comes. A file that was put off is
// found by a later scan; for another one the scan is woken.
func (a *Activities) RequeueFile(ctx context.Context, in RequeueFileInput) (Outcome, error) {
	outcome, err := a.requeueFile(ctx, in)
	return outcome, applicationError(err)
}

func (a *Activities) requeueFile(ctx context.Context, in RequeueFileInput) (Outcome, error) {
	file, err := a.Ledger.Claim(ctx, in.FileUUID)
	if err != nil || file.Status.Terminal() {
		return Outcome{Status: file.Status}, err
	}
	if in.Deferred != nil || file.Status != ingest.StatusReady {
		if err := a.Ledger.Apply(ctx, in.change(file)); err != nil {
			return Outcome{}, err
		}
	}
	outcome := Outcome{Status: ingest.StatusReady}
	if in.Deferred != nil {
		return outcome, nil
	}
	server, err := a.Ledger.Server(ctx, file.ServerUUID)
	if err != nil {
		return Outcome{}, err
	}
	return outcome, a.Workflows.Wake(ctx, server, file.UUID)
}

func (in RequeueFileInput) change(file ingest.File) ingest.Change {
	change := ingest.Change{FileUUID: file.UUID, Fence: file.Fence, To: ingest.StatusReady, NewRound: true}
	if in.Deferred == nil {
		change.Events = []ingest.Event{{
			Type: ingest.EventRequeued, Key: in.Key, Details: map[string]any{"reason": "it waits for its turn to be fetched"},
		}}
		return change
	}
	change.Defer, change.Set.Error = true, in.Deferred
	change.Events = []ingest.Event{{
		Type: ingest.EventDeferred, Key: in.Key,
		Details: map[string]any{
			"step": in.Deferred.Step, "kind": in.Deferred.Kind, "message": in.Deferred.Message, "attempts": in.Attempts,
		},
	}}
	if in.Deferred.Kind == ingest.KindStagingFull {
		nowhere := "" // another worker may have room
		change.Set.StagedOn = &nowhere
	}
	return change
}
