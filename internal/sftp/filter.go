package sftp

import (
	"context"
	"path"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"stevedore/internal/ingest"
)

// filter selects paths by the server's patterns.
type filter struct {
	server ingest.Server
	// inProgressNames are globs for names of files in progress, inProgressFolders for
	// folders that are not entered; both in lower case.
	inProgressNames, inProgressFolders []string
	// moveTarget is the target folder of the after-ingest move, if any: it has
	// ingested files and is not entered.
	moveTarget string
}

func newFilter(server ingest.Server) (filter, error) {
	for _, glob := range slices.Concat(server.Include, server.Exclude, server.InProgress()) {
		if !validGlob(glob) {
			return filter{}, ingest.Errorf(ingest.KindInvalid, "server %s: pattern %q is not valid; example: '**/*.csv'", server.Name, glob)
		}
	}
	if server.MaxDepth == 0 {
		server.MaxDepth = ingest.MaxDepth
	}
	moved, moves := server.AfterIngest.MoveTo()
	if !moves {
		moved = ""
	}
	f := filter{server: server, moveTarget: moved}
	for _, glob := range server.InProgress() {
		glob, ofFolder := strings.CutSuffix(strings.ToLower(glob), "/")
		if ofFolder {
			f.inProgressFolders = append(f.inProgressFolders, glob)
		} else {
			f.inProgressNames = append(f.inProgressNames, glob)
		}
	}
	return f, nil
}

// findMoveTarget adopts the listed spelling of the move target on a server that ignores
// case: otherwise the moved files would be listed, and ingested, again.
func (w *walk) findMoveTarget(ctx context.Context, at folder, found *folderContents) error {
	target := w.filter.moveTarget
	if target == "" || !strings.EqualFold(at.path, path.Dir(target)) {
		return nil
	}
	for _, e := range found.entries(at.path) {
		if e.kind != kindFolder || e.path == target || !strings.EqualFold(e.path, target) {
			continue
		}
		same, err := w.session.IgnoresCase(ctx, e.path)
		if err != nil {
			return err
		}
		if same {
			w.filter.moveTarget = e.path
		}
	}
	return nil
}

// relative returns the path below the root folder, which the globs match.
func (f filter) relative(full string) string {
	return strings.TrimPrefix(strings.TrimPrefix(full, f.server.RootPath), "/")
}

// includes reports whether the path is included and not excluded.
func (f filter) includes(full string) bool {
	rel := f.relative(full)
	return (len(f.server.Include) == 0 || matchAny(f.server.Include, rel)) && !matchAny(f.server.Exclude, rel)
}

// excludedBy returns the exclude glob that matches the path; empty if none does.
func (f filter) excludedBy(full string) string {
	return firstMatch(f.server.Exclude, f.relative(full))
}

// enters reports whether the walk enters the folder.
func (f filter) enters(folder string) bool { return f.omitsFolder(folder) == ingest.Omission{} }

// omitsFolder returns the reason why the walk does not enter the folder: it skips the move
// target, excluded folders, folders without a possible match, and folders of files in
// progress.
func (f filter) omitsFolder(folder string) ingest.Omission {
	if folder == f.moveTarget {
		return ingest.Omission{Reason: ingest.OmitMoveTarget}
	}
	if glob := f.excludedBy(folder); glob != "" {
		return ingest.Omission{Reason: ingest.OmitExcluded, Detail: glob}
	}
	if !f.mayContain(folder) {
		return ingest.Omission{Reason: ingest.OmitNotIncluded}
	}
	if glob := firstMatch(f.inProgressFolders, strings.ToLower(path.Base(folder))); glob != "" {
		return ingest.Omission{Reason: ingest.OmitInProgress, Detail: glob + "/"}
	}
	return ingest.Omission{}
}

// wouldList reports whether a listing reaches and includes the file.
func (f filter) wouldList(full string) bool {
	if !isBelow(f.server.RootPath, full) || !f.includes(full) || f.inProgress(path.Base(full)) {
		return false
	}
	depth := 0
	for folder := path.Dir(full); isBelow(f.server.RootPath, folder); folder = path.Dir(folder) {
		if depth++; depth > f.server.MaxDepth || !f.enters(folder) {
			return false
		}
	}
	return true
}

// mayContain reports whether a file below the folder can be included.
func (f filter) mayContain(folder string) bool {
	if len(f.server.Include) == 0 {
		return true
	}
	names := strings.Split(f.relative(folder), "/")
	return slices.ContainsFunc(f.server.Include, func(glob string) bool { return globMayMatchBelow(glob, names) })
}

// globMayMatchBelow reports whether the glob can match a path below the folder. It
// compares element by element; it returns true at "**", and for a glob that cannot be
// split into elements.
func globMayMatchBelow(glob string, names []string) bool {
	if groupWithSlash(glob) {
		return true
	}
	elements := strings.Split(glob, "/")
	for i, name := range names {
		switch {
		case i < len(elements) && elements[i] == "**":
			return true
		case i+1 >= len(elements), !doublestar.MatchUnvalidated(elements[i], name):
			return false
		}
	}
	return true
}

// groupWithSlash reports whether the glob has '/' in braces, in brackets or after a
// backslash, where it does not separate elements.
func groupWithSlash(glob string) bool {
	depth := 0
	for i := 0; i < len(glob); i++ {
		switch glob[i] {
		case '\\':
			if i++; i < len(glob) && glob[i] == '/' {
				return true
			}
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case '/':
			if depth != 0 {
				return true
			}
		}
	}
	return false
}

// inProgress reports whether the name is that of a file in progress.
func (f filter) inProgress(name string) bool {
	return matchAny(f.inProgressNames, strings.ToLower(name))
}

// isDelivery reports whether a file named like a companion is a delivery: it belongs to
// no file in its folder, and an include glob names its extension.
func (f filter) isDelivery(full string, paired bool) bool {
	return !paired && slices.ContainsFunc(f.server.Include, func(glob string) bool {
		ending := path.Ext(glob)
		return ending != "" && !strings.ContainsAny(ending, "*?[{") && strings.EqualFold(ending, path.Ext(full))
	}) && f.includes(full)
}

func validGlob(glob string) bool {
	return doublestar.ValidatePattern(glob) && ingest.GlobChoices(glob) <= ingest.MaxGlobChoices
}

func matchAny(globs []string, rel string) bool { return firstMatch(globs, rel) != "" }

// firstMatch returns the first glob that matches the path; empty if none does.
func firstMatch(globs []string, rel string) string {
	i := slices.IndexFunc(globs, func(glob string) bool { return doublestar.MatchUnvalidated(glob, rel) })
	if i < 0 {
		return ""
	}
	return globs[i]
}
