package activities

import (
	"context"
	"path"
	"time"

	"go.temporal.io/sdk/activity"

	"stevedore/internal/ingest"
)

// AfterIngestInput names a completed file.
type AfterIngestInput struct {
	FileUUID string `json:"file_uuid"`
}

// AfterIngest applies the server's after-ingest setting to the source, its done-marker
// and its checksum file: keep, delete or move. It acts only on a completed file, and
// only while the path still shows the version that was ingested.
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

// afterActionDue reports whether the source may be deleted or moved: the file is
// stored, verified and notified, and the server's setting requires it.
func afterActionDue(server ingest.Server, file ingest.File) bool {
	return file.Status == ingest.StatusCompleted && file.Hash != "" && server.AfterIngest != ingest.AfterKeep
}

// attemptsBeforeLeft is the number of failed attempts after which a source that could
// not be deleted or moved is shown as left, although the error is transient.
const attemptsBeforeLeft = 3

// finishAfterIngest records a failed action without changing the file's status: the
// file is safe regardless of its source.
func (a *Activities) finishAfterIngest(ctx context.Context, file ingest.File, err error) error {
	kind := ingest.KindOf(err)
	if err == nil || !kind.Permanent() && activity.GetInfo(ctx).Attempt < attemptsBeforeLeft {
		return a.finishStep(ctx, ingest.StepAfter, file, err)
	}
	failed := ingest.Failure{Step: ingest.StepAfter, Kind: kind, Message: ingest.Message(err)}
	if !kind.Permanent() {
		if noteErr := a.apply(ctx, file, ingest.SourceLeft(file, failed.Message)); noteErr != nil && ctx.Err() == nil {
			a.Log.WarnContext(ctx, "cannot record that a source is left", "file", file.UUID, "error", noteErr)
		}
		return a.finishStep(ctx, ingest.StepAfter, file, err)
	}
	if noteErr := a.apply(ctx, file, ingest.SourceFailed(file, failed)); noteErr != nil {
		return applicationError(noteErr)
	}
	return applicationError(err)
}

func (a *Activities) afterIngest(ctx context.Context, server ingest.Server, file ingest.File) (err error) {
	ctx, watchdog := a.startWatchdog(ctx, watchOptions{Total: file.Size, Resumable: true, StallTimeout: a.stallTimeout(server)})
	defer func() { err = watchdog.stop(err) }()
	source, err := a.open(ctx, server)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	return a.runAfterAction(ctx, source, server, file)
}

// runAfterAction runs the action and records it.
func (a *Activities) runAfterAction(ctx context.Context, source Source, server ingest.Server, file ingest.File) error {
	t := afterAction{moves: a.Ledger, source: source, server: server, file: file, details: map[string]any{"action": string(server.AfterIngest)}}
	if err := t.run(ctx); err != nil {
		return err
	}
	return a.apply(ctx, file, ingest.SourceDone(file, t.left, t.details))
}

// afterAction is the after-ingest action on one source.
type afterAction struct {
	moves  Moves
	source Source
	server ingest.Server
	file   ingest.File
	// details are recorded with the event; left, when not empty, is why a source or
	// companion is still there.
	details map[string]any
	left    string
	// inPlace: the target is the listed folder itself, so files stay.
	inPlace bool
	// last is the source as seen directly before the action.
	last ingest.Observation
}

// run applies the action. A missing source was handled by an attempt whose result was
// lost, or removed by the partner. Another version is left for the next scan. After the
// source was deleted or moved, a file at its path is another delivery: then only
// companions can be left.
func (t *afterAction) run(ctx context.Context) error {
	if !t.file.SourceGoneAt.IsZero() {
		t.details["found"] = ingest.FoundGone
		return t.companions(ctx, false)
	}
	switch err := t.unmodified(ctx); {
	case ingest.KindOf(err) == ingest.KindNotFound:
		t.details["found"] = ingest.FoundGone
		if err := t.freeLostTarget(ctx); err != nil {
			return err
		}
		return t.companions(ctx, false)
	case ingest.KindOf(err) == ingest.KindChanged:
		t.details["found"] = "another version, not touched"
		return nil
	case err != nil:
		return err
	}
	dir, move := t.server.AfterIngest.MoveTo()
	if !move {
		// The check directly precedes the removal: nothing may come between.
		if err := t.source.Remove(ctx, t.file.RemotePath); err != nil && ingest.KindOf(err) != ingest.KindNotFound {
			return err
		}
		if err := t.checkGone(ctx); err != nil {
			return err
		}
		return t.companions(ctx, false)
	}
	to, err := t.moveAway(ctx, t.file.RemotePath, dir, func() error { return t.unmodified(ctx) })
	switch {
	case ingest.KindOf(err) == ingest.KindChanged:
		t.details["found"] = "another version, not touched"
		return nil
	case err != nil:
		return err
	case t.inPlace:
		t.details["found"] = "already in " + ingest.DisplayPath(dir) + ": it is the listed folder"
		return nil
	case to == "":
		t.left = "the name exists in " + ingest.DisplayPath(dir)
		t.details["found"] = "the name exists in " + ingest.DisplayPath(dir) + ", the source was not moved"
		return nil
	}
	t.details["moved_to"] = ingest.DisplayPath(to)
	if err := t.checkGone(ctx); err != nil {
		return err
	}
	return t.companions(ctx, path.Base(to) != path.Base(t.file.RemotePath))
}

// unmodified returns an error unless the source is the ingested version.
func (t *afterAction) unmodified(ctx context.Context) (err error) {
	t.last, err = checkUnmodified(ctx, t.source, t.file)
	return err
}

// checkGone returns an error if the server confirmed the action, or reported that there is
// no such file, but still has it: then it is left, and a source recorded as gone would be
// ingested again. A file that appeared in the meantime, which has another time, is the next
// delivery. The target of a move is not checked: a partner may fetch the file immediately, or
// the folder may hide it.
func (t *afterAction) checkGone(ctx context.Context) error {
	now, err := t.source.Stat(ctx, t.file.RemotePath)
	switch kind := ingest.KindOf(err); {
	case kind == ingest.KindNotFound:
		return nil
	case err != nil:
		return err
	case now.Rejected != "" || !sameEntry(t.last, now):
		return nil
	}
	kind := ingest.KindTransient // some servers still show a file for a moment
	if activity.GetInfo(ctx).Attempt >= attemptsBeforeLeft {
		kind = ingest.KindPermission // later listings try again, without an open workflow per file
	}
	return ingest.Errorf(kind, "server %s confirmed the action %q on %s but still has the file: ask the partner to fix the server, or set `--after-ingest keep`",
		t.server.Name, ingest.DisplayPath(string(t.server.AfterIngest)), ingest.DisplayPath(t.file.RemotePath))
}

// sameEntry reports whether two observations of a path, made directly after each other, are
// of the same file. The times of servers that report the current time are equal.
func sameEntry(before, after ingest.Observation) bool {
	current := time.Since(before.ModTime).Abs() < clockTolerance && time.Since(after.ModTime).Abs() < clockTolerance
	return before.Size == after.Size && (current || before.ModTime.Unix() == after.ModTime.Unix())
}
