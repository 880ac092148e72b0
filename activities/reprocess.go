package activities

import (
	"context"

	"stevedore/internal/ingest"
)

// ReprocessInput is an operator action: ingest a completed file again.
type ReprocessInput struct {
	FileUUID string `json:"file_uuid"`
	// Actor and Reason are recorded in the ledger.
	Actor  string `json:"actor"`
	Reason string `json:"reason"`
	// Key identifies the action, so that it is recorded once.
	Key string `json:"key"`
	// Entry is the key of the audit log entry.
	Entry string `json:"entry,omitempty"`
}

// Reprocess makes a completed file whose object is lost ready again. It is fetched again
// under the same row, key and message id. Reprocess rejects the action if the object
// exists, because a key is written once, or if the source is gone or another version.
// Then the file stays completed.
func (a *Activities) Reprocess(ctx context.Context, in ReprocessInput) (err error) {
	file, err := a.Ledger.File(ctx, in.FileUUID)
	if err != nil {
		return applicationError(err)
	}
	server, err := a.Ledger.Server(ctx, file.ServerUUID)
	if err != nil {
		return applicationError(err)
	}
	if file.Status == ingest.StatusCompleted {
		ctx, stop := startHeartbeat(ctx, nil)
		defer stop()
		if err := a.checkReprocess(ctx, server, file); err != nil {
			return applicationError(err)
		}
	}
	action := ingest.OperatorAction{Action: ingest.ActionReprocess, Actor: in.Actor, Reason: in.Reason, Key: in.Key, Entry: in.Entry}
	if action.Verified, err = a.Ledger.VerifyAction(ctx, file.UUID, action); err != nil {
		return applicationError(err)
	}
	if err := a.Ledger.Reprocess(ctx, file.UUID, action); err != nil {
		return applicationError(err)
	}
	return applicationError(a.Workflows.Wake(ctx, server))
}

// checkReprocess returns an error if a completed file cannot be ingested again.
func (a *Activities) checkReprocess(ctx context.Context, server ingest.Server, file ingest.File) error {
	if err := a.checkObjectLost(ctx, file); err != nil {
		return err
	}
	source, err := a.open(ctx, server)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	err = checkVersion(ctx, source, file)
	switch ingest.KindOf(err) {
	case ingest.KindNotFound:
		return ingest.Wrap(ingest.KindSourceGone, err, "%s is gone from server %s%s: ask the partner to send it again, or restore it with its old modification time",
			ingest.DisplayPath(file.RemotePath), server.Name, afterIngestHint(server))
	case ingest.KindChanged:
		return ingest.Wrap(ingest.KindSourceGone, err, "%s: the server has another version, which is a separate file", ingest.Message(err))
	}
	return err
}

// afterIngestHint returns the server's after-ingest action as a hint for a missing source.
func afterIngestHint(server ingest.Server) string {
	if server.AfterIngest == ingest.AfterKeep {
		return ""
	}
	return ", which has the after-ingest action " + ingest.DisplayPath(string(server.AfterIngest))
}

// checkObjectLost returns an error if the file's object exists. One with other content is
// not overwritten: only an operator can decide about it.
func (a *Activities) checkObjectLost(ctx context.Context, file ingest.File) error {
	object, found, err := a.Objects.Head(ctx, file.Bucket, file.ObjectKey)
	switch {
	case ingest.IsKind(err, ingest.KindMissing): // the bucket is gone
		return nil
	case err != nil:
		return err
	case !found:
		return nil
	case object.Size == file.Size && proven(file, object):
		return ingest.Errorf(ingest.KindConflict, "object %s exists with the file's content: publish its notification again instead", file.ObjectKey)
	case file.Bucket != a.Objects.Bucket():
		return nil // the new object goes to another bucket
	default:
		return ingest.Errorf(ingest.KindConflict, "object %s exists with other content: move it away, then reprocess the file", file.ObjectKey)
	}
}
