package activities

import (
	"context"

	"go.temporal.io/sdk/temporal"

	"stevedore/internal/ingest"
)

// Outcome is the status a file has after an aside was recorded.
type Outcome struct {
	Status ingest.Status `json:"status"`
}

// ParkFileInput says which file waits for an operator, and why.
type ParkFileInput struct {
	FileUUID string      `json:"file_uuid"`
	Step     ingest.Step `json:"step"`
	Kind     ingest.Kind `json:"kind"`
	Message  string      `json:"message"`
}

// ParkFile puts the file into status error. A file that has reached an end by
// another way stays there, and the outcome says so. One that turned out to be no new
// version ends. A fault of the server as a
// whole suspends the server.
func (a *Activities) ParkFile(ctx context.Context, in ParkFileInput) (Outcome, error) {
	if in.Kind == ingest.KindSameContent {
		return a.changeFile(ctx, in, func(file ingest.File, why ingest.Failure) ingest.Change {
			return ingest.Gone(file, ingest.StatusSuperseded, why)
		})
	}
	if in.Kind.ServerLevel() && in.Kind != ingest.KindSuspended { // that one has learned nothing new
		if err := a.suspend(ctx, in); err != nil {
			return Outcome{}, applicationError(err)
		}
	}
	return a.changeFile(ctx, in, func(file ingest.File, why ingest.Failure) ingest.Change { return ingest.Failed(file, why) })
}

func (a *Activities) suspend(ctx context.Context, in ParkFileInput) error {
	file, err := a.Ledger.File(ctx, in.FileUUID)
	if err != nil {
		return err
	}
	return a.Catalog.SuspendServer(ctx, file.ServerUUID, in.Message)
}

// AwaitServerInput names the server that a file waits for.
type AwaitServerInput struct {
	ServerUUID string `json:"server_uuid"`
}

// typeSuspended is the type of the error with which a suspended server is
// waited for.
const typeSuspended = "suspended"

// AwaitServer succeeds once the server is active and not suspended. Until then
// its error is retryable: waiting in retries costs no history.
func (a *Activities) AwaitServer(ctx context.Context, in AwaitServerInput) error {
	server, err := a.Ledger.Server(ctx, in.ServerUUID)
	if err != nil {
		return applicationError(err)
	}
	if server.Active && server.State == ingest.ServerOK {
		return nil
	}
	return temporal.NewApplicationErrorWithOptions("server "+server.Name+" is suspended or paused: mend it and run `stevedore server test "+server.Name+"`",
		typeSuspended, temporal.ApplicationErrorOptions{Category: temporal.ApplicationErrorCategoryBenign})
}

// CloseFileInput says which file ends without being taken, how and why.
type CloseFileInput struct {
	ParkFileInput
	// Status is vanished or superseded.
	Status ingest.Status `json:"status"`
}

// CloseFile records that the version is gone from the server.
func (a *Activities) CloseFile(ctx context.Context, in CloseFileInput) (Outcome, error) {
	return a.changeFile(ctx, in.ParkFileInput, func(file ingest.File, why ingest.Failure) ingest.Change { return ingest.Gone(file, in.Status, why) })
}

func (a *Activities) changeFile(ctx context.Context, in ParkFileInput, changeOf func(ingest.File, ingest.Failure) ingest.Change) (Outcome, error) {
	file, err := a.Ledger.Claim(ctx, in.FileUUID)
	if err != nil {
		return Outcome{}, applicationError(err)
	}
	if file.Status.Terminal() {
		return Outcome{Status: file.Status}, nil
	}
	change := changeOf(file, ingest.Failure{Step: in.Step, Kind: in.Kind, Message: in.Message})
	return Outcome{Status: change.To}, applicationError(a.apply(ctx, file, change))
}

// ResumeFileInput is an operator's decision on a parked file.
type ResumeFileInput struct {
	FileUUID string `json:"file_uuid"`
	// Action is retry, skip or renotify.
	Action string `json:"action"`
	// From is the step to go on from; only for retry.
	From ingest.Step `json:"from,omitempty"`
	// Actor and Reason go to the ledger.
	Actor  string `json:"actor"`
	Reason string `json:"reason"`
	// Key makes the decision unique, so that recording it twice is once.
	Key string `json:"key"`
	// Entry is the key of the audit log's entry about it, see workflows.Decision.
	Entry string `json:"entry,omitempty"`
	// Own: no operator decided, but the workflow.
	Own bool `json:"own,omitempty"`
}

// ResumeFile records an operator's decision and moves the file accordingly.
func (a *Activities) ResumeFile(ctx context.Context, in ResumeFileInput) (Outcome, error) {
	action := ingest.OperatorAction{
		Action: in.Action, From: in.From, Actor: in.Actor, Reason: in.Reason, Key: in.Key, Entry: in.Entry, Verified: in.Own,
	}
	if !in.Own {
		var err error
		if action.Verified, err = a.Ledger.Vouch(ctx, in.FileUUID, action); err != nil {
			return Outcome{}, applicationError(err)
		}
	}
	change := ingest.Decided(in.FileUUID, action)
	return Outcome{Status: change.To}, applicationError(a.Ledger.Apply(ctx, change))
}
