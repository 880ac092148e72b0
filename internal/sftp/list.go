package sftp

import (
	"context"
	"os"

	"github.com/pkg/sftp"

	"stevedore/internal/ingest"
)

// List walks the folders from the server's root and calls fn for each entry to
// be recorded, in no particular order. It returns how many folders below the
// root could not be read; an unreadable root is an error.
//
//   - Globs are matched against the path below the root; an excluded folder is
//     not entered, nor is the one that the after-ingest action moves to.
//   - Files with a name of files in progress come with Aside set, whether included
//     or not; excluded ones are left out.
//   - Symbolic links are not followed (the root itself may be one). They,
//     FIFOs, devices and sockets come with Rejected set if the globs take
//     them; unsafe names always.
//   - Checksum files and done-markers are left out and named at what they speak of;
//     without such a file they come with Aside set. A file whose marker is missing or
//     older comes with WaitsFor set.
//   - Of entries with the same name in one folder the first counts.
//
// An error of fn ends the walk and is returned as it is. Errors are of KindInvalid
// if there is no end to the entries, otherwise as of Stat.
//
// One folder is read whole before fn sees its first entry, because a checksum
// file may come after the file it covers; see Config.MaxEntriesPerFolder.
func (s *Session) List(ctx context.Context, fn func(ingest.Observation) error) (unreadable int64, err error) {
	f, err := newFilter(s.server)
	if err != nil {
		return 0, err
	}
	w := &walk{session: s, filter: f, fn: fn, todo: []folder{{path: s.server.RootPath}}}
	err = w.run(ctx)
	return w.unreadable, err
}

// folder is a folder still to be read.
type folder struct {
	path  string
	depth int
}

// entry is one entry of a folder, as the server sent it.
type entry struct {
	rawName
	path  string
	kind  kind
	attrs *sftp.FileStat
}

// walk is one listing under way.
type walk struct {
	session *Session
	filter  filter
	fn      func(ingest.Observation) error
	// todo is a stack, so that it stays as small as the tree is narrow.
	todo       []folder
	seen       int64
	unreadable int64
}

func (w *walk) run(ctx context.Context) error {
	for len(w.todo) > 0 {
		at := w.todo[len(w.todo)-1]
		w.todo = w.todo[:len(w.todo)-1]
		entries, err := w.session.readFolder(ctx, at.path)
		switch {
		case err == nil:
		case refusal(err) && at.depth > 0:
			w.unreadable++
			continue
		case refusal(err):
			return w.session.explain(err, "list its root folder", at.path)
		default:
			return w.session.explain(err, "list", at.path)
		}
		if w.seen += int64(len(entries)); w.seen > w.session.cfg.MaxEntries {
			return ingest.Errorf(ingest.KindInvalid, "server %s shows more than %d entries, the listing was ended at %s: narrow --path or exclude folders",
				w.session.server.Name, w.session.cfg.MaxEntries, ingest.DisplayPath(at.path))
		}
		if err := w.report(at, entries); err != nil {
			return err
		}
	}
	return nil
}

// readFolder returns the entries of one folder without doubles.
func (s *Session) readFolder(ctx context.Context, path string) ([]entry, error) {
	g := s.guard(ctx, s.cfg.NoProgress)
	tapped := s.conn.names.begin(s.cfg.MaxEntriesPerFolder, func() {
		g.moved()
		s.answered()
	})
	infos, err := s.conn.client.ReadDirContext(ctx, path)
	s.conn.names.end()
	err = g.end(err)
	s.answered() // an empty folder is an answer, too
	switch {
	case tapped.full:
		return nil, ingest.Errorf(ingest.KindInvalid, "server %s: folder %s has more than %d entries: ask the partner to split it or exclude it",
			s.server.Name, ingest.DisplayPath(path), s.cfg.MaxEntriesPerFolder)
	case err != nil:
		return nil, err
	case len(tapped.names) != len(infos):
		s.conn.kill()
		return nil, errBadNames
	}
	return entriesOf(path, tapped.names, infos)
}

func entriesOf(path string, names []rawName, infos []os.FileInfo) ([]entry, error) {
	entries := make([]entry, 0, len(names))
	known := make(map[string]struct{}, len(names))
	if path == "/" {
		path = ""
	}
	for i, raw := range names {
		if _, double := known[raw.name]; double {
			continue
		}
		known[raw.name] = struct{}{}
		attrs, err := attributes(infos[i])
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry{rawName: raw, path: path + "/" + raw.name, kind: kindOf(attrs), attrs: attrs})
	}
	return entries, nil
}
