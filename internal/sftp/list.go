package sftp

import (
	"cmp"
	"context"
	"iter"
	"strings"

	"stevedore/internal/ingest"
)

// List walks the folders from the server's root and calls fn for each entry to
// be recorded. It returns which folders below the root could not be read; an
// unreadable root is an error.
//
//   - Folders are visited in the order of their names, each before those in it;
//     the request says where to go on. Only those are opened in which something can
//     match the globs.
//   - Globs are matched against the path below the root; an excluded folder is
//     not entered, nor is the one that the after-ingest action moves to.
//   - Names with a temporary suffix are left out, whether included or not.
//   - Symbolic links are not followed (the root itself may be one), unless the
//     server's settings ask for it and they stay below the root. Those that are not,
//     FIFOs, devices and sockets come with Rejected set if the globs take
//     them; unsafe names always.
//   - Checksum files are left out and named at what they cover; done-markers
//     are left out, and a file without its own comes with WaitsFor set.
//   - Of entries with the same name in one folder the first counts.
//   - A folder that is one above it once more, by a link or a mount, is not read.
//
// An error of fn ends the walk and is returned as it is. Errors are of KindInvalid
// if there is no end to the entries, otherwise as of Stat.
//
// One folder is read whole before fn sees its first entry, because a checksum
// file may come after the file it covers; see Config.MaxEntriesPerFolder.
func (s *Session) List(ctx context.Context, request ingest.ListRequest, fn func(ingest.Observation) error) (ingest.Unread, error) {
	root, err := s.rootFolder(ctx)
	if err != nil {
		return ingest.Unread{}, err
	}
	server := s.server
	server.RootPath = root
	f, err := newFilter(s.cfg, server)
	if err != nil {
		return ingest.Unread{}, err
	}
	w := &walk{session: s, filter: f, request: request, fn: fn}
	if request.From != "" {
		w.from = strings.Split(request.From, "/")
	}
	err = w.run(ctx)
	return w.unread, err
}

// report notes the folders of one folder and, if it is to tell, passes on what is to
// be recorded.
func (w *walk) report(at folder, entries iter.Seq2[int, entry], tell bool) error {
	sums := newSidecars(w.checksumNames(entries))
	there := regularPaths(w.filter.server, entries)
	for _, e := range entries {
		seen, ok := w.consider(at, e, sums)
		if !ok || !tell {
			continue
		}
		if marker := w.filter.server.MarkerOf(e.path); marker != "" && !there[marker] {
			seen.WaitsFor = ingest.MissingMarker(marker)
		}
		if err := w.fn(seen); err != nil {
			return err
		}
	}
	return nil
}

// regularPaths are the folder's markers, if the server has any.
func regularPaths(server ingest.Server, entries iter.Seq2[int, entry]) map[string]bool {
	paths := make(map[string]bool)
	for _, e := range entries {
		if e.kind == kindRegular && server.IsMarker(e.name) {
			paths[e.path] = true
		}
	}
	return paths
}

// checksumNames are the regular files that can be a checksum or have one. An
// excluded checksum is not used.
func (w *walk) checksumNames(entries iter.Seq2[int, entry]) map[string]bool {
	names := make(map[string]bool)
	for _, e := range entries {
		unused := isChecksumName(e.name) && w.filter.excludes(e.path)
		if e.kind == kindRegular && e.unsafe() == "" && !unused {
			names[e.name] = true
		}
	}
	return names
}

// consider says what is to be recorded of an entry, if anything.
func (w *walk) consider(at folder, e entry, sums sidecars) (seen ingest.Observation, ok bool) {
	seen = observe(e.path, e.attrs)
	switch {
	case e.unsafe() != "":
		seen.Rejected = e.unsafe()
		return seen, !w.filter.excludes(e.path)
	case e.kind == kindFolder && !w.filter.enters(e.path):
		return seen, false
	case e.kind == kindFolder && at.depth == ingest.MaxDepth:
		seen.Size, seen.Rejected = 0, "is a folder too deep to be listed"
		return seen, true
	case e.kind == kindFolder && at.depth == w.filter.server.MaxDepth:
		return seen, false // as its operator asked
	case e.kind == kindFolder:
		w.below = append(w.below, e.name)
		return seen, false
	case sums.is(e.name), w.filter.server.IsMarker(e.name), w.filter.temporary(e.path), !w.filter.takes(e.path):
		return seen, false
	}
	seen.Rejected = cmp.Or(e.why, reject(e.kind, e.attrs))
	if seen.Rejected == "" && !e.attrs.sized() {
		seen.Rejected = "comes without a size"
	}
	if name := sums.of(e.name); name != "" && seen.Rejected == "" {
		seen.Sidecar = e.path[:len(e.path)-len(e.name)] + name
	}
	return seen, true
}
