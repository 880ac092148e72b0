package activities

import (
	"context"

	"go.temporal.io/sdk/temporal"

	"stevedore/internal/ingest"
)

// Outcome is a file's status after a change.
type Outcome struct {
	Status ingest.Status `json:"status"`
}

// RecordFailureInput names a file that failed permanently, and the failure.
type RecordFailureInput struct {
	FileUUID string      `json:"file_uuid"`
	Step     ingest.Step `json:"step"`
	Kind     ingest.Kind `json:"kind"`
	Message  string      `json:"message"`
}

// RecordFailure records a permanent failure: the file gets status error and needs attention. A
// file that has already ended stays unchanged, and the outcome has its status. A file
// that is no longer a new version becomes superseded. A server-level failure suspends the
// server.
func (a *Activities) RecordFailure(ctx context.Context, in RecordFailureInput) (Outcome, error) {
	if in.Kind == ingest.KindSameContent {
		return a.changeFile(ctx, in, func(file ingest.File, why ingest.Failure) ingest.Change {
			return ingest.RemovedFromServer(file, ingest.StatusSuperseded, why)
		})
	}
	if in.Kind.Suspends() {
		if err := a.suspend(ctx, in); err != nil {
			return Outcome{}, applicationError(err)
		}
	}
	return a.changeFile(ctx, in, func(file ingest.File, why ingest.Failure) ingest.Change { return ingest.Failed(file, why) })
}

func (a *Activities) suspend(ctx context.Context, in RecordFailureInput) error {
	file, err := a.Ledger.File(ctx, in.FileUUID)
	if err != nil {
		return err
	}
	return a.Catalog.SuspendServer(ctx, file.ServerUUID, in.Message)
}

// AwaitServerInput names the server to wait for.
type AwaitServerInput struct {
	ServerUUID string `json:"server_uuid"`
}

// typeSuspended is the type of AwaitServer's retryable error.
const typeSuspended = "suspended"

// AwaitServer succeeds once the server is active and not suspended. Until then its error
// is retryable: retries, unlike timers, add nothing to the history.
func (a *Activities) AwaitServer(ctx context.Context, in AwaitServerInput) error {
	server, err := a.Ledger.Server(ctx, in.ServerUUID)
	if err != nil {
		return applicationError(err)
	}
	if server.Active && server.State == ingest.ServerOK {
		return nil
	}
	why := "server " + server.Name + " is suspended: fix it and run `stevedore server test " + server.Name + "`"
	if !server.Active {
		why = "server " + server.Name + " is paused: `stevedore server resume " + server.Name + "` continues"
	}
	return temporal.NewApplicationErrorWithOptions(why, typeSuspended, temporal.ApplicationErrorOptions{Category: temporal.ApplicationErrorCategoryBenign})
}

// CloseFileInput names a file that is gone from its server, and the reason.
type CloseFileInput struct {
	RecordFailureInput
	// Status is vanished or superseded.
	Status ingest.Status `json:"status"`
}

// CloseFile records that the version is gone from its server.
func (a *Activities) CloseFile(ctx context.Context, in CloseFileInput) (Outcome, error) {
	return a.changeFile(ctx, in.RecordFailureInput, func(file ingest.File, why ingest.Failure) ingest.Change {
		return ingest.RemovedFromServer(file, in.Status, why)
	})
}

func (a *Activities) changeFile(ctx context.Context, in RecordFailureInput, changeOf func(ingest.File, ingest.Failure) ingest.Change) (Outcome, error) {
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

// ResumeFileInput is an operator action on a failed file.
type ResumeFileInput struct {
	FileUUID string `json:"file_uuid"`
	// Action is retry, skip or renotify.
	Action ingest.Action `json:"action"`
	// From is the step to continue from; only for retry.
	From ingest.Step `json:"from,omitempty"`
	// Actor and Reason are recorded in the ledger.
	Actor  string `json:"actor"`
	Reason string `json:"reason"`
	// Key identifies the action, so that it is recorded once.
	Key string `json:"key"`
	// Entry is the key of the audit log entry, see workflows.OperatorAction.
	Entry string `json:"entry,omitempty"`
	// Own: the workflow itself retries, because the server was repaired.
	Own bool `json:"own,omitempty"`
}

// ResumeFile records the action and changes the file's status accordingly.
func (a *Activities) ResumeFile(ctx context.Context, in ResumeFileInput) (Outcome, error) {
	action := ingest.OperatorAction{
		Action: in.Action, From: in.From, Actor: in.Actor, Reason: in.Reason, Key: in.Key, Entry: in.Entry, Verified: in.Own,
	}
	if !in.Own {
		var err error
		if action.Verified, err = a.Ledger.VerifyAction(ctx, in.FileUUID, action); err != nil {
			return Outcome{}, applicationError(err)
		}
	}
	change := ingest.OperatorActed(in.FileUUID, action)
	return Outcome{Status: change.To}, applicationError(a.Ledger.Apply(ctx, change))
}
