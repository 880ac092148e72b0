package activities

import (
	"context"
	"path"

	"go.temporal.io/sdk/activity"

	"stevedore/internal/ingest"
)

// AfterIngestInput names a completed file.
type AfterIngestInput struct {
	FileUUID string `json:"file_uuid"`
}

// AfterIngest does with the source what the server's setting asks: nothing,
// delete or move, and the same with its done-marker and checksum file. It acts only
// on a completed file and only while the path still shows the version that was
// taken; a newer one is left for the next scan.
func (a *Activities) AfterIngest(ctx context.Context, in AfterIngestInput) error {
	file, err := a.Ledger.File(ctx, in.FileUUID)
	if err != nil {
		return applicationError(err)
	}
	server, err := a.Ledger.Server(ctx, file.ServerUUID)
	if err != nil {
		return applicationError(err)
	}
	if !afterActionDue(server, file) {
		return nil
	}
	return a.finishAfterIngest(ctx, file, a.afterIngest(ctx, server, file))
}

// mayTidy reports whether the source may be touched: its bytes are stored, proven
// and announced, and the server's setting asks for it.
func afterActionDue(server ingest.Server, file ingest.File) bool {
	return file.Status == ingest.StatusCompleted && file.Hash != "" && server.AfterIngest != ingest.AfterKeep
}

// shownTries is how many attempts may fail before a source that could not be
// deleted or moved for a passing reason is shown as left.
const attemptsBeforeLeft = 3

// settleAfter keeps a failing action visible in the ledger without touching
// the file's status: the file is safe whatever becomes of its source.
func (a *Activities) finishAfterIngest(ctx context.Context, file ingest.File, err error) error {
	kind := ingest.KindOf(err)
	if err == nil || !kind.Permanent() && activity.GetInfo(ctx).Attempt < attemptsBeforeLeft {
		return a.finishStep(ctx, ingest.StepAfter, file, err)
	}
	failed := ingest.Failure{Step: ingest.StepAfter, Kind: kind, Message: message(err)}
	if !kind.Permanent() {
		if noteErr := a.apply(ctx, file, ingest.SourceLeft(file, failed.Message)); noteErr != nil && ctx.Err() == nil {
			a.Log.WarnContext(ctx, "cannot note a source that is left", "file", file.UUID, "error", noteErr)
		}
		return a.finishStep(ctx, ingest.StepAfter, file, err)
	}
	if noteErr := a.apply(ctx, file, ingest.SourceFailed(file, failed)); noteErr != nil {
		return applicationError(noteErr)
	}
	return applicationError(err)
}

func (a *Activities) afterIngest(ctx context.Context, server ingest.Server, file ingest.File) (err error) {
	under, watchdog := a.startWatchdog(ctx, watchOptions{Total: file.Size, Resumable: true, StallTimeout: a.stallTimeout(server)})
	defer func() { err = watchdog.stop(err) }()
	source, err := a.open(under, server)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	return a.runAfterAction(under, source, server, file)
}

// tidy does the action and records it.
func (a *Activities) runAfterAction(ctx context.Context, source Source, server ingest.Server, file ingest.File) error {
	t := afterAction{moves: a.Ledger, source: source, server: server, file: file, details: map[string]any{"action": string(server.AfterIngest)}}
	if err := t.run(ctx); err != nil {
		return err
	}
	return a.apply(ctx, file, ingest.SourceDone(file, t.left, t.details))
}

// tidying is the after-ingest action on one source.
type afterAction struct {
	moves  Moves
	source Source
	server ingest.Server
	file   ingest.File
	// details are what is to be told of it, left what of it is still there.
	details map[string]any
	left    string
	// inPlace says that files are to be moved to where they are listed, and stay.
	inPlace bool
}

// run does the action. A source that is gone was tidied by an attempt whose answer
// was lost, or by the partner; one that is another version now is left for the
// next scan.
func (t *afterAction) run(ctx context.Context) error {
	switch err := checkUnmodified(ctx, t.source, t.file); {
	case ingest.KindOf(err) == ingest.KindNotFound:
		t.details["found"] = ingest.FoundGone
		if err := t.freeLostTarget(ctx); err != nil {
			return err
		}
		return t.companions(ctx, false)
	case ingest.KindOf(err) == ingest.KindChanged:
		t.details["found"] = "another version, which is left alone"
		return nil
	case err != nil:
		return err
	}
	dir, move := t.server.AfterIngest.MoveTo()
	if !move {
		// untouched was the last thing asked: nothing comes between.
		if err := t.source.Remove(ctx, t.file.RemotePath); err != nil && ingest.KindOf(err) != ingest.KindNotFound {
			return err
		}
		return t.companions(ctx, false)
	}
	to, err := t.moveAway(ctx, t.file.RemotePath, dir, func() error { return checkUnmodified(ctx, t.source, t.file) })
	switch {
	case ingest.KindOf(err) == ingest.KindChanged:
		t.details["found"] = "another version, which is left alone"
		return nil
	case err != nil:
		return err
	case t.inPlace:
		t.details["found"] = "in " + ingest.DisplayPath(dir) + " already: it is the folder that is listed"
		return nil
	case to == "":
		t.left = "the name is taken in " + ingest.DisplayPath(dir)
		t.details["found"] = "the name taken in " + ingest.DisplayPath(dir) + ", so the source was left where it is"
		return nil
	}
	t.details["moved_to"] = ingest.DisplayPath(to)
	return t.companions(ctx, path.Base(to) != path.Base(t.file.RemotePath))
}
