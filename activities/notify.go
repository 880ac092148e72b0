package activities

import (
	"context"

	"stevedore/internal/ingest"
)

// NotifyInput names the uploaded file.
type NotifyInput struct {
	FileUUID string `json:"file_uuid"`
}

// NotifyResult says what is left to do.
type NotifyResult struct {
	// SourceAction says that the server's setting asks for an after-ingest action.
	SourceAction bool `json:"source_action,omitempty"`
}

// Notify announces the file and completes it. The announcement goes out before
// the commit, so a crash between the two sends it again: with the same message
// id, which is how consumers know it for the same.
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
		return ingest.Errorf(ingest.KindConflict, "file is %s, not uploaded: there is nothing to announce yet", file.Status)
	}
	receipt, err := a.announce(ctx, file)
	if err != nil {
		return err
	}
	return a.apply(ctx, file, ingest.Completed(file, receipt, sourceAction))
}

func (a *Activities) announce(ctx context.Context, file ingest.File) (ingest.Receipt, error) {
	return a.Announcer.Announce(ctx, ingest.Announcement{
		File: file, ServerName: file.ServerName,
		Object: ingest.Object{Bucket: file.Bucket, Key: file.ObjectKey, Size: file.Size, SHA256: file.Hash, ETag: file.ETag},
	})
}

// RenotifyInput is an operator's wish to announce a completed file again.
type RenotifyInput struct {
	FileUUID string `json:"file_uuid"`
	// Actor and Reason go to the ledger.
	Actor  string `json:"actor"`
	Reason string `json:"reason"`
	// Key makes the wish unique, so that recording it twice is once.
	Key string `json:"key"`
	// Entry is the key of the audit log's entry about it.
	Entry string `json:"entry,omitempty"`
}

// Renotify announces a completed file once more: with the message id it always
// has, so that a consumer that has seen it knows it again.
func (a *Activities) Renotify(ctx context.Context, in RenotifyInput) error {
	file, err := a.Ledger.File(ctx, in.FileUUID)
	if err != nil {
		return applicationError(err)
	}
	if file.Status != ingest.StatusCompleted {
		return applicationError(ingest.Errorf(ingest.KindConflict, "file is %s, not completed: there is nothing to announce again", file.Status))
	}
	action := ingest.OperatorAction{Action: ingest.ActionRenotify, Actor: in.Actor, Reason: in.Reason, Key: in.Key, Entry: in.Entry}
	if action.Verified, err = a.Ledger.Vouch(ctx, file.UUID, action); err != nil {
		return applicationError(err)
	}
	receipt, err := a.announce(ctx, file)
	if err != nil {
		return a.finishStep(ctx, ingest.StepNotify, file, err)
	}
	return applicationError(a.apply(ctx, file, ingest.Renotified(file, receipt, action)))
}
