package sftp

import (
	"context"
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
//     not entered, nor is the one that the after-ingest action moves to, nor those
//     in which clients keep unfinished files.
//   - Files with a name of files in progress come with Aside set, whether included
//     or not; excluded ones are left out.
//   - Symbolic links are not followed (the root itself may be one), unless the
//     server's settings ask for it and they stay below the root. Those that are not,
//     FIFOs, devices and sockets come with Rejected set if the globs take
//     them; unsafe names always.
//   - Checksum files and done-markers are left out and named at what they speak of;
//     without such a file they come with Aside set. A file whose marker is missing or
//     older comes with WaitsFor set.
//   - Of entries with the same name in one folder the first counts.
//   - A folder that is one above it once more, by a link or a mount, is not read.
//
// An error of fn ends the walk and is returned as it is. Errors are of KindInvalid
// if there is no end to the entries, otherwise as of Stat.
//
// One folder is read whole before fn sees its first entry, because a checksum
// file may come after the file it covers; see Config.MaxEntriesPerFolder.
func (s *Session) List(ctx context.Context, request ingest.ListRequest, fn func(ingest.Observation) error) (ingest.Unread, error) {
	f, err := s.filter(ctx)
	if err != nil {
		return ingest.Unread{}, err
	}
	w := &walk{session: s, filter: f, request: request, fn: fn, doubtful: request.Doubtful}
	if request.From != "" {
		w.from = strings.Split(request.From, "/")
	}
	err = w.run(ctx)
	return w.unread, err
}

// Takes returns what says of a file's path whether a listing by the present settings
// would take it.
func (s *Session) Takes(ctx context.Context) (func(path string) bool, error) {
	f, err := s.filter(ctx)
	return f.wouldList, err
}

// filter is that of the server's settings, with its folders as the server knows them.
func (s *Session) filter(ctx context.Context) (filter, error) {
	root, err := s.rootFolder(ctx)
	if err != nil {
		return filter{}, err
	}
	server := s.server
	server.RootPath = root
	f, err := newFilter(server)
	if err != nil {
		return filter{}, err
	}
	f.moveTarget, err = s.underRoot(ctx, root, f.moveTarget)
	return f, err
}
