package activities

import (
	"context"

	"stevedore/internal/ingest"
)

// ReprocessInput is an operator's wish to ingest a completed file again.
type ReprocessInput struct {
	FileUUID string `json:"file_uuid"`
	// Actor and Reason go to the ledger.
	Actor  string `json:"actor"`
	Reason string `json:"reason"`
	// Key makes the wish unique, so that recording it twice is once.
	Key string `json:"key"`
	// Entry is the key of the audit log's entry about it.
	Entry string `json:"entry,omitempty"`
}

// Reprocess makes a completed file ready again whose object is lost, so that it is
// fetched once more under the same row, key and message id. It is refused while the
// object is there, because a key is written once, and when the source is no longer
// the version that was taken. Then the file stays completed.
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
	if action.Verified, err = a.Ledger.Vouch(ctx, file.UUID, action); err != nil {
		return applicationError(err)
	}
	if err := a.Ledger.Reprocess(ctx, file.UUID, action); err != nil {
		return applicationError(err)
	}
	return applicationError(a.Workflows.Wake(ctx, server))
}

// mayReprocess says why a completed file cannot be ingested again, nil if it can.
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
		return ingest.Wrap(ingest.KindSourceGone, err, "%s is gone from server %s%s: ask the partner to send it again, or put it back with its old time",
			ingest.DisplayPath(file.RemotePath), server.Name, afterIngestHint(server))
	case ingest.KindChanged:
		return ingest.Wrap(ingest.KindSourceGone, err, "%s: what is there now is another version, with a file of its own here", message(err))
	}
	return err
}

// whyGone adds what stevedore itself does to sources.
func afterIngestHint(server ingest.Server) string {
	if server.AfterIngest == ingest.AfterKeep {
		return ""
	}
	return ", which is set to " + ingest.DisplayPath(string(server.AfterIngest)) + " after ingest"
}

// objectLost refuses a file whose object is there. One with other content is not
// overwritten: only people can say whose it is.
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
		return ingest.Errorf(ingest.KindConflict, "object %s is there, and it is the file's: publish its notification again instead", file.ObjectKey)
	case file.Bucket != a.Objects.Bucket():
		return nil // the new one goes elsewhere
	default:
		return ingest.Errorf(ingest.KindConflict, "object %s is there with other content: move it away, then reprocess the file", file.ObjectKey)
	}
}
