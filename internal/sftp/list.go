package sftp

import (
	"context"
	"strings"

	"stevedore/internal/ingest"
)

// List walks the server's root folder and calls fn for each entry to record. It returns
// the unreadable folders below the root; an unreadable root is an error.
//
//   - Folders are visited in the order of their names, each before its subfolders;
//     request.From resumes a listing. Folders without a possible match are not opened.
//   - Globs match the path below the root. Excluded folders, the target of the
//     after-ingest move and folders of files in progress are not entered.
//   - Files in progress have Ignored set, included or not; excluded ones are omitted.
//   - Symbolic links below the root are followed only if the server's settings allow it
//     and the target is below the root; the root itself may be a link. Other links,
//     FIFOs, devices and sockets have Rejected set if the globs include them; unsafe
//     names always.
//   - Checksum files and done-markers are omitted and recorded with their file; without
//     a file they have Ignored set. A file with a missing or older marker has WaitsFor set.
//   - Of entries with the same name in one folder, the first is used.
//   - A folder that is identical to one of its ancestors, by a link or a mount, is not
//     read.
//
// An error of fn ends the walk and is returned unchanged. The error is of KindInvalid
// if there are too many entries, otherwise as of Stat.
//
// A folder is read completely before fn gets its first entry, because a checksum file
// may follow its file; see Config.MaxEntriesPerFolder.
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

// Includes returns a function that reports whether a listing with the current settings
// would include the file at the path.
func (s *Session) Includes(ctx context.Context) (func(path string) bool, error) {
	f, err := s.filter(ctx)
	return f.wouldList, err
}

// filter returns the filter of the server's settings, with paths as the server spells
// them.
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
