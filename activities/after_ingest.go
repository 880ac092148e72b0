package activities

import (
	"context"
	"path"

	"stevedore/internal/ingest"
)

// AfterIngestInput names a completed file.
type AfterIngestInput struct {
	FileUUID string `json:"file_uuid"`
}

// AfterIngest does with the source what the server's setting asks: nothing,
// delete or move. It acts only on a completed file and only while the path
// still shows the version that was taken; a newer one is left for the next scan.
func (a *Activities) AfterIngest(ctx context.Context, in AfterIngestInput) error {
	file, err := a.Ledger.File(ctx, in.FileUUID)
	if err != nil {
		return applicationError(err)
	}
	server, err := a.Ledger.Server(ctx, file.ServerUUID)
	if err != nil {
		return applicationError(err)
	}
	if file.Status != ingest.StatusCompleted || server.AfterIngest == ingest.AfterKeep {
		return nil
	}
	return a.settleAfter(ctx, file, a.afterIngest(ctx, server, file))
}

// settleAfter keeps a failing action visible in the ledger without touching
// the file's status: the file is safe whatever becomes of its source.
func (a *Activities) settleAfter(ctx context.Context, file ingest.File, err error) error {
	kind := ingest.KindOf(err)
	if err == nil || !kind.Permanent() {
		return a.settle(ctx, ingest.StepAfter, file, err)
	}
	noteErr := a.apply(ctx, file, ingest.SourceFailed(file, ingest.Failure{Step: ingest.StepAfter, Kind: kind, Message: message(err)}))
	if noteErr != nil {
		return applicationError(noteErr)
	}
	return applicationError(err)
}

func (a *Activities) afterIngest(ctx context.Context, server ingest.Server, file ingest.File) (err error) {
	watched, _, stop := a.watch(ctx, file.Size)
	defer func() { err = stop(err) }()
	details, err := a.tidySource(watched, server, file)
	if err != nil {
		return err
	}
	return a.apply(ctx, file, ingest.SourceDone(file, details))
}

// tidySource does the action and returns what is to be told of it. A source
// that is gone was tidied by an attempt whose answer was lost, or by the
// partner; one that is another version now is left for the next scan.
func (a *Activities) tidySource(ctx context.Context, server ingest.Server, file ingest.File) (map[string]any, error) {
	source, err := a.open(ctx, server)
	if err != nil {
		return nil, err
	}
	defer func() { _ = source.Close() }()
	details := map[string]any{"action": string(server.AfterIngest)}
	switch err := untouched(ctx, source, file); {
	case ingest.KindOf(err) == ingest.KindNotFound:
		details["found"] = ingest.FoundGone
		return details, nil
	case ingest.KindOf(err) == ingest.KindChanged:
		details["found"] = "another version, which is left alone"
		return details, nil
	case err != nil:
		return nil, err
	}
	dir, move := server.AfterIngest.MoveTo()
	if !move {
		return details, source.Remove(ctx, file.RemotePath)
	}
	to, err := moveAway(ctx, source, server.OnCollision, file, dir)
	switch {
	case err != nil:
		return nil, err
	case to == "":
		details["found"] = "the name taken in " + ingest.DisplayPath(dir) + ", so the source was left where it is"
	default:
		details["moved_to"] = ingest.DisplayPath(to)
	}
	return details, nil
}

// moveAway renames the source into dir and returns where it is then: "" when it
// stays, because the name is taken there and that is what the server's setting
// asks for then.
func moveAway(ctx context.Context, source Source, collision ingest.Collision, file ingest.File, dir string) (string, error) {
	to := path.Join(dir, path.Base(file.RemotePath))
	_, err := source.Stat(ctx, to)
	switch {
	case ingest.IsKind(err, ingest.KindNotFound):
	case err != nil:
		return "", err
	case collision == ingest.CollisionKeep:
		return "", nil
	case collision == ingest.CollisionOverwrite:
		// SFTP's own rename does not replace. Between the two calls the folder
		// has neither; the file itself is safe with us.
		if err := source.Remove(ctx, to); err != nil && ingest.KindOf(err) != ingest.KindNotFound {
			return "", err
		}
	default:
		to = path.Join(dir, file.UUID+"-"+path.Base(file.RemotePath))
	}
	return to, source.Rename(ctx, file.RemotePath, to)
}
