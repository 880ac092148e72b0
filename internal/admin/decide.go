package admin

import (
	"context"

	"stevedore/internal/ingest"
	"stevedore/workflows"
)

// Action is what an operator can do with a file.
type Action string

// The actions on files. Retry and Skip are for parked ones; Renotify announces
// a completed one, or one that failed at that, again.
const (
	Retry    Action = workflows.UpdateRetry
	Skip     Action = workflows.UpdateSkip
	Renotify Action = workflows.UpdateRenotify
)

// Decide carries out an operator's decision on the file with the uuid, or
// whose uuid begins so, and returns the file as it was. A decision that does not
// fit the file's state is KindConflict and says why.
func (a *Admin) Decide(ctx context.Context, uuidOrPrefix string, action Action, d workflows.Decision) (ingest.File, error) {
	file, err := a.ShowFile(ctx, uuidOrPrefix)
	if err != nil {
		return file, err
	}
	switch {
	case action == Renotify && file.Status == ingest.StatusCompleted:
		return file, a.d.Engine.StartIngest(ctx, workflows.FileIngestInput{
			FileUUID: file.UUID, ServerUUID: file.ServerUUID, Size: file.Size, Renotify: &d,
		})
	case file.Status != ingest.StatusError:
		return file, ingest.Errorf(ingest.KindConflict, "%s is %s: only a file in error waits for a decision",
			ingest.Summary(file.RemotePath), file.Status)
	}
	err = a.d.Engine.Decide(ctx, file.UUID, string(action), d)
	if ingest.KindOf(err) == ingest.KindMissing {
		return file, ingest.Wrap(ingest.KindConflict, err, "%s waits for a decision, but its workflow is gone: the reconciler starts it again",
			ingest.Summary(file.RemotePath))
	}
	return file, err
}
