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
	if file.Status != ingest.StatusCompleted {
		if err := a.notify(ctx, file); err != nil {
			return NotifyResult{}, a.settle(ctx, ingest.StepNotify, file, err)
		}
	}
	server, err := a.Ledger.Server(ctx, file.ServerUUID)
	return NotifyResult{SourceAction: server.AfterIngest != ingest.AfterKeep}, applicationError(err)
}

func (a *Activities) notify(ctx context.Context, file ingest.File) error {
	if file.Status != ingest.StatusUploaded {
		return ingest.Errorf(ingest.KindConflict, "file is %s, not uploaded: there is nothing to announce yet", file.Status)
	}
	receipt, err := a.Announcer.Announce(ctx, ingest.Announcement{
		File: file, ServerName: file.ServerName,
		Object: ingest.Object{Bucket: file.Bucket, Key: file.ObjectKey, Size: file.Size, SHA256: file.Hash, ETag: file.ETag},
	})
	if err != nil {
		return err
	}
	return a.Ledger.Apply(ctx, ingest.Change{
		FileUUID: file.UUID, Fence: file.Fence, To: ingest.StatusCompleted,
		Events: []ingest.Event{{
			Type: ingest.EventNotified, Key: receipt.MessageID,
			Details: map[string]any{"queue": receipt.Queue, "message_id": receipt.MessageID},
		}},
		Set: ingest.Columns{Error: &ingest.Failure{}},
	})
}
