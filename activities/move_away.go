package activities

import (
	"context"
	"errors"
	"path"

	"stevedore/internal/ingest"
)

// moveAway renames a file into dir and returns where it is then: "" when it stays,
// because the name is taken there and that is what the server's setting asks for
// then. unchanged is asked right before anything is touched. The name is kept in the
// ledger from the look at it to the end of the move: RENAME overwrites on some
// servers, and of two moves that found the name free one would lose its file.
func (t *afterAction) moveAway(ctx context.Context, from, dir string, unchanged func() error) (string, error) {
	folder, err := t.targetFolder(ctx, dir)
	if err != nil || t.inPlace {
		return from, err
	}
	name := path.Base(from)
	target := t.server.MoveTarget(folder, name)
	kept, movedFrom, err := t.moves.KeepTarget(ctx, t.file.UUID, target)
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
		// SFTP's own rename does not replace. Between the two calls the folder
		// has neither; the file itself is safe with us.
		if err := t.source.Remove(ctx, to); err != nil && ingest.KindOf(err) != ingest.KindNotFound {
			return "", err
		}
	}
	if err := t.source.Rename(ctx, from, to); err != nil {
		return "", err
	}
	return to, t.freeTarget(ctx, target, from)
}

// free ends that a name is kept. Where files are overwritten it records what was moved
// there: only a later version of the same path may replace that. On other servers
// nothing is replaced.
func (t *afterAction) freeTarget(ctx context.Context, target ingest.MoveTarget, movedFrom string) error {
	if t.server.OnCollision != ingest.CollisionOverwrite {
		movedFrom = ""
	}
	return t.moves.FreeTarget(ctx, t.file.UUID, target, movedFrom)
}

// movedBefore ends that a name is kept for a source that is gone: the answer to its
// move was lost.
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

// isFree reports whether nothing has the name.
func (t *afterAction) isFree(ctx context.Context, name string) (bool, error) {
	_, err := t.source.Stat(ctx, name)
	if ingest.IsKind(err, ingest.KindNotFound) {
		return true, nil
	}
	return false, err
}

// folder returns the folder to move to without links. It sets inPlace when that is the
// one that is listed, however it is spelled: what is moved there would be found, and
// taken, once more.
func (t *afterAction) targetFolder(ctx context.Context, dir string) (string, error) {
	root, err := t.source.Real(ctx, t.server.RootPath)
	if err != nil {
		return "", err
	}
	if t.inPlace = root == dir; t.inPlace {
		return dir, nil
	}
	dir, err = t.source.Real(ctx, dir)
	t.inPlace = err == nil && root == dir
	return dir, err
}
