package activities

import (
	"context"
	"errors"
	"path"
	"strings"

	"stevedore/internal/ingest"
)

// moveAway renames a file into dir and returns its new path; "" if the name exists and
// the server's setting is to keep the file then. It calls unchanged right before the
// move. The ledger reserves the name during the move: some servers overwrite on RENAME,
// and of two concurrent moves to a free name one file would be lost.
func (t *afterAction) moveAway(ctx context.Context, from, dir string, unchanged func() error) (string, error) {
	folder, err := t.targetFolder(ctx, dir)
	if err != nil || t.inPlace {
		return from, err
	}
	name := path.Base(from)
	target := t.server.MoveTarget(folder, name)
	kept, movedFrom, err := t.moves.ReserveTarget(ctx, t.file.UUID, target)
	if err != nil {
		return "", err
	}
	free, replaces := false, false
	if kept {
		if free, err = t.isFree(ctx, path.Join(dir, name)); err != nil {
			return "", err
		}
		replaces = !free && t.server.OnCollision == ingest.CollisionOverwrite && (movedFrom == "" || movedFrom == from)
		if !free && !replaces {
			if err := t.freeTarget(ctx, target, ""); err != nil {
				return "", err
			}
		}
	}
	switch {
	case free, replaces:
	case t.server.OnCollision == ingest.CollisionKeep:
		return "", nil
	default:
		name = ingest.UniqueName(t.file.UUID, name)
	}
	if err := unchanged(); err != nil {
		return "", errors.Join(err, t.freeTarget(ctx, target, ""))
	}
	to := path.Join(dir, name)
	if replaces {
		// SFTP's RENAME does not replace. Between the two calls the folder has neither
		// file; the new one is already stored.
		if err := t.source.Remove(ctx, to); err != nil && ingest.KindOf(err) != ingest.KindNotFound {
			return "", err
		}
	}
	if err := t.source.Rename(ctx, from, to); err != nil {
		return "", err
	}
	return to, t.freeTarget(ctx, target, from)
}

// freeTarget ends the reservation of a name. On servers that overwrite it records the
// moved file's path: only a later version of the same path may replace it.
func (t *afterAction) freeTarget(ctx context.Context, target ingest.MoveTarget, movedFrom string) error {
	if t.server.OnCollision != ingest.CollisionOverwrite {
		movedFrom = ""
	}
	return t.moves.ReleaseTarget(ctx, t.file.UUID, target, movedFrom)
}

// freeLostTarget ends the reservation for a source that is gone: the result of its move
// was lost.
func (t *afterAction) freeLostTarget(ctx context.Context) error {
	dir, move := t.server.AfterIngest.MoveTo()
	if !move {
		return nil
	}
	folder, err := t.targetFolder(ctx, dir)
	if err != nil {
		return err
	}
	return t.freeTarget(ctx, t.server.MoveTarget(folder, path.Base(t.file.RemotePath)), t.file.RemotePath)
}

// isFree reports whether the name does not exist.
func (t *afterAction) isFree(ctx context.Context, name string) (bool, error) {
	_, err := t.source.Stat(ctx, name)
	if ingest.IsKind(err, ingest.KindNotFound) {
		return true, nil
	}
	return false, err
}

// targetFolder resolves the links in the target folder. It sets inPlace if that is the
// listed folder itself: a moved file would be found, and ingested, again.
func (t *afterAction) targetFolder(ctx context.Context, dir string) (string, error) {
	root, err := t.source.Real(ctx, t.server.RootPath)
	if err != nil {
		return "", err
	}
	if t.inPlace = root == dir; t.inPlace {
		return dir, nil
	}
	dir, err = t.source.Real(ctx, dir)
	if t.inPlace = err == nil && root == dir; err == nil && !t.inPlace && strings.EqualFold(root, dir) {
		t.inPlace, err = t.source.IgnoresCase(ctx, dir)
	}
	return dir, err
}
