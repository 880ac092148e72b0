package sftp

import (
	"path"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"stevedore/internal/ingest"
)

// filter decides which paths of a server are taken into account.
type filter struct {
	server ingest.Server
	// names are globs for names of files in progress, folders those for names of
	// folders that are not entered; in lower case.
	names, folders []string
	// moved is the folder that the after-ingest action fills, if any: what is
	// there has been taken.
	moved string
}

func newFilter(server ingest.Server) (filter, error) {
	for _, glob := range slices.Concat(server.Include, server.Exclude, server.InProgress()) {
		if !doublestar.ValidatePattern(glob) {
			return filter{}, ingest.Errorf(ingest.KindInvalid, "server %s: glob %q is not valid; example: '**/*.csv'", server.Name, glob)
		}
	}
	if server.MaxDepth == 0 {
		server.MaxDepth = ingest.MaxDepth
	}
	moved, _ := server.AfterIngest.MoveTo()
	f := filter{server: server, moved: moved}
	for _, glob := range server.InProgress() {
		glob, ofFolder := strings.CutSuffix(strings.ToLower(glob), "/")
		if ofFolder {
			f.folders = append(f.folders, glob)
		} else {
			f.names = append(f.names, glob)
		}
	}
	return f, nil
}

// below is the path below the root folder, which globs are matched against.
func (f filter) below(full string) string {
	return strings.TrimPrefix(strings.TrimPrefix(full, f.server.RootPath), "/")
}

// takes reports whether the path is included and not excluded.
func (f filter) takes(full string) bool {
	rel := f.below(full)
	return (len(f.server.Include) == 0 || matchAny(f.server.Include, rel)) && !matchAny(f.server.Exclude, rel)
}

// excludes reports whether the path is excluded, whatever it is.
func (f filter) excludes(full string) bool { return matchAny(f.server.Exclude, f.below(full)) }

// enters reports whether the walk goes into the folder: not when it is
// excluded itself, nor where taken or unfinished files are kept.
func (f filter) enters(folder string) bool {
	return folder != f.moved && !f.excludes(folder) && !matchAny(f.folders, strings.ToLower(path.Base(folder)))
}

// inProgress reports whether the name is of a file still being written.
func (f filter) inProgress(name string) bool { return matchAny(f.names, strings.ToLower(name)) }

// delivers reports whether a file with the name of a companion is a delivery: one
// that speaks of no file here and that an include glob names by its ending.
func (f filter) delivers(full string, speaks bool) bool {
	return !speaks && slices.ContainsFunc(f.server.Include, func(glob string) bool {
		ending := path.Ext(glob)
		return ending != "" && !strings.ContainsAny(ending, "*?[{") && strings.EqualFold(ending, path.Ext(full))
	}) && f.takes(full)
}

func matchAny(globs []string, rel string) bool {
	return slices.ContainsFunc(globs, func(glob string) bool { return doublestar.MatchUnvalidated(glob, rel) })
}
