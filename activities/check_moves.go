package activities

import (
	"context"
	"strings"

	"stevedore/internal/ingest"
)

// maxMoveChecks bounds the paths that one listing stats to detect moved files.
const maxMoveChecks = 1000

// checkMoves decides on new files with the name, size and time of an ingested file, before any
// of them becomes ready. A file is held if the old path is gone or shows another version. With
// more than maxMoveChecks paths all files are held, because a held file can still be
// ingested, but a notification cannot be taken back.
func (a *Activities) checkMoves(ctx context.Context, source Source, server ingest.Server) error {
	suspects, err := a.Catalog.SuspectedMoves(ctx, server.UUID, maxMoveChecks+1)
	if err != nil || len(suspects) == 0 {
		return err
	}
	if server.Moved == ingest.MovedDeliver || len(suspects) > maxMoveChecks {
		return a.Catalog.DecideAllMoves(ctx, server)
	}
	var gone []ingest.SuspectedMove
	var copies []int64
	unchanged := map[int64]bool{} // by OldID: copies of one file share its path
	for _, s := range suspects {
		there, known := unchanged[s.OldID]
		if !known {
			if there, err = oldPathUnchanged(ctx, source, s); err != nil {
				return err
			}
			unchanged[s.OldID] = there
		}
		if there && s.OldID != 0 {
			same, err := isSamePath(ctx, source, s.OldPath, s.Path)
			if err != nil {
				return err
			}
			there = !same
		}
		if there {
			copies = append(copies, s.FileID)
		} else {
			gone = append(gone, s)
		}
	}
	return a.Catalog.DecideMoves(ctx, server, gone, copies)
}

// oldPathUnchanged reports whether the old path still shows the ingested version, or no such
// file was ingested after all. If the server fails to stat the path, the result is false, unless
// the connection is lost.
func oldPathUnchanged(ctx context.Context, source Source, s ingest.SuspectedMove) (bool, error) {
	if s.OldID == 0 {
		return true, nil
	}
	seen, err := source.Stat(ctx, s.OldPath)
	if err == nil {
		return seen.Rejected == "" && seen.Size == s.Size && seen.ModTime.Unix() == s.ModTime.Unix(), nil
	}
	if kind := ingest.KindOf(err); kind == ingest.KindNotFound || kind == ingest.KindPermission {
		return false, nil
	}
	if _, again := source.Stat(ctx, s.Path); again != nil && !ingest.IsKind(again, ingest.KindNotFound) {
		return false, err
	}
	return false, nil
}

// isSamePath reports whether two paths are spellings of one: by links, or by another case on a
// server that ignores case. The server's root folder may have been edited to another spelling.
func isSamePath(ctx context.Context, source Source, one, other string) (bool, error) {
	one, err := source.Real(ctx, one)
	if err != nil {
		return false, err
	}
	other, err = source.Real(ctx, other)
	if err != nil || one == other || !strings.EqualFold(one, other) {
		return err == nil && one == other, err
	}
	return source.IgnoresCase(ctx, other)
}
