package activities

import (
	"context"

	"stevedore/internal/ingest"
)

// NotifyInput names the uploaded file.
type NotifyInput struct {
	FileUUID string `json:"file_uuid"`
}

// NotifyResult is the result of Notify.
type NotifyResult struct {
	// SourceAction: the server has an after-ingest action.
	SourceAction bool `json:"source_action,omitempty"`
}

// Notify publishes the notification and completes the file. It publishes before the
// commit. After a crash it publishes again with the same message id, so that consumers
// recognize the duplicate.
func (a *Activities) Notify(ctx context.Context, in NotifyInput) (NotifyResult, error) {
	file, err := a.Ledger.Claim(ctx, in.FileUUID)
	if err != nil {
		return NotifyResult{}, applicationError(err)
	}
	server, err := a.Ledger.Server(ctx, file.ServerUUID)
	if err != nil {
		return NotifyResult{}, applicationError(err)
	}
	result := NotifyResult{SourceAction: server.AfterIngest != ingest.AfterKeep}
	if file.Status == ingest.StatusCompleted {
		return result, nil
	}
	return result, a.finishStep(ctx, ingest.StepNotify, file, a.notify(ctx, file, result.SourceAction))
}

func (a *Activities) notify(ctx context.Context, file ingest.File, sourceAction bool) error {
	if file.Status != ingest.StatusUploaded {
		return ingest.Errorf(ingest.KindConflict, "the file is %s, not uploaded: no notification to publish yet", file.Status)
	}
	receipt, err := a.publish(ctx, file)
	if err != nil {
		return err
	}
	return a.apply(ctx, file, ingest.Completed(file, receipt, sourceAction))
}

func (a *Activities) publish(ctx context.Context, file ingest.File) (ingest.Receipt, error) {
	return a.Publisher.Publish(ctx, ingest.Notification{
		File: file, ServerName: file.ServerName,
		Object: ingest.Object{Bucket: file.Bucket, Key: file.ObjectKey, Size: file.Size, SHA256: file.Hash, ETag: file.ETag},
	})
}

// RenotifyInput is an operator action: publish the notification of a completed file again.
type RenotifyInput struct {
	FileUUID string `json:"file_uuid"`
	// Actor and Reason are recorded in the ledger.
	Actor  string `json:"actor"`
	Reason string `json:"reason"`
	// Key identifies the action, so that it is recorded once.
	Key string `json:"key"`
	// Entry is the key of the audit log entry.
	Entry string `json:"entry,omitempty"`
}

// Renotify publishes the notification of a completed file again, with the same message
// id, so that consumers recognize the duplicate.
func (a *Activities) Renotify(ctx context.Context, in RenotifyInput) error {
	file, err := a.Ledger.File(ctx, in.FileUUID)
	if err != nil {
		return applicationError(err)
	}
	if file.Status != ingest.StatusCompleted {
		return applicationError(ingest.Errorf(ingest.KindConflict, "the file is %s, not completed: no notification to publish again", file.Status))
	}
	action := ingest.OperatorAction{Action: ingest.ActionRenotify, Actor: in.Actor, Reason: in.Reason, Key: in.Key, Entry: in.Entry}
	if action.Verified, err = a.Ledger.VerifyAction(ctx, file.UUID, action); err != nil {
		return applicationError(err)
	}
	receipt, err := a.publish(ctx, file)
	if err != nil {
		return a.finishStep(ctx, ingest.StepNotify, file, err)
	}
	return applicationError(a.apply(ctx, file, ingest.Renotified(file, receipt, action)))
}
