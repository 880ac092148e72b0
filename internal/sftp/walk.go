package sftp

import (
	"context"
	"errors"
	"slices"
	"strings"

	"stevedore/internal/ingest"
)

// walk is the state of one listing.
type walk struct {
	session *Session
	filter  filter
	request ingest.ListRequest
	fn      func(ingest.Observation) error
	// from are the elements of request.From.
	from []string
	// stack has the folders with unvisited subfolders, the root first.
	stack []*frame
	// subfolders are the names of the subfolders to enter in the current folder.
	subfolders []string
	// pendingBytes is the memory for the names of unvisited folders.
	pendingBytes int64

	entries, bytes int64
	unread         ingest.Unread
	// doubtful are folders whose listing ended with a failure that may replace EOF.
	doubtful ingest.Unread
	lookups  lookups
}

// node is a folder that refers to its parent, which saves the memory for its path.
type node struct {
	parent      *node
	name        string
	depth       int
	fingerprint fingerprint
}

// frame is a folder that was read, with its unvisited subfolders.
type frame struct {
	*node
	folders []string
}

// folder is the current folder.
type folder struct {
	path  string
	depth int
}

// relative returns the path below the root folder.
func (n *node) relative() string {
	if n.depth == 0 {
		return ""
	}
	names := make([]string, n.depth)
	for at := n; at.depth > 0; at = at.parent {
		names[at.depth-1] = at.name
	}
	return strings.Join(names, "/")
}

func (w *walk) path(n *node) string {
	root := w.filter.server.RootPath
	switch rel := n.relative(); {
	case rel == "":
		return root
	case root == "/":
		return "/" + rel
	default:
		return root + "/" + rel
	}
}

// run visits the folders in the order of their names, each before its subfolders, so that
// one path is enough to resume.
func (w *walk) run(ctx context.Context) error {
	err := w.visit(ctx, &node{})
	for err == nil && len(w.stack) > 0 {
		top := w.stack[len(w.stack)-1]
		if len(top.folders) == 0 {
			w.stack = w.stack[:len(w.stack)-1]
			continue
		}
		name := top.folders[0]
		top.folders[0], top.folders = "", top.folders[1:]
		w.pendingBytes -= nameCost(name)
		err = w.visit(ctx, &node{parent: top.node, name: name, depth: top.depth + 1})
	}
	if w.session.conn.behavior.sendsEOF() { // the failures did not replace EOF
		w.unread.Join(w.doubtful)
	}
	return err
}

// visit reads one folder. A failure of one folder does not end the walk.
func (w *walk) visit(ctx context.Context, n *node) error {
	at := folder{path: w.path(n), depth: n.depth}
	reported := w.leadsToStart(n)
	if !reported {
		if giveUp := w.request.GiveUp; giveUp != "" && n.relative() == w.request.From && n.depth > 0 {
			w.unread.Add(at.path, giveUp)
			return nil
		}
		if w.request.Entered != nil {
			w.request.Entered(n.relative(), w.unread, w.doubtful)
		}
	}
	found, err := w.session.readFolder(ctx, at.path, w.limits())
	if err != nil {
		return w.folderError(ctx, at, err)
	}
	w.bytes += found.bytes
	if err := w.checkLimits(at, found); err != nil {
		return err
	}
	if same, err := w.findLoop(ctx, n, found); err != nil || same != "" {
		if same != "" {
			w.unread.Add(at.path, "is the same folder as "+ingest.DisplayPath(same))
		}
		return w.session.explain(err, "list", at.path)
	}
	if err := w.resolveEntries(ctx, at, found); err != nil {
		return w.session.explain(err, "list", at.path)
	}
	if found.endError != nil {
		w.doubtful.Add(at.path, w.session.unreadReason(found.endError))
	}
	if err := w.findMoveTarget(ctx, at, found); err != nil {
		return err
	}
	if err := w.emit(at, found, !reported); err != nil {
		return err
	}
	w.pushSubfolders(n, at)
	return nil
}

// leadsToStart reports whether the folder is an ancestor of the folder at which the
// listing resumes.
func (w *walk) leadsToStart(n *node) bool {
	if n.depth >= len(w.from) {
		return false
	}
	for at := n; at.depth > 0; at = at.parent {
		if at.name != w.from[at.depth-1] {
			return false
		}
	}
	return true
}

// pushSubfolders schedules the subfolders of the folder as the next to visit.
func (w *walk) pushSubfolders(n *node, at folder) {
	names := w.subfolders
	w.subfolders = nil
	slices.Sort(names)
	if w.leadsToStart(n) {
		names = slices.DeleteFunc(names, func(name string) bool { return name < w.from[n.depth] })
	}
	var bytes int64
	for _, name := range names {
		bytes += nameCost(name)
	}
	if w.pendingBytes += bytes; w.pendingBytes > w.session.cfg.MaxBytesPerFolder {
		w.pendingBytes -= bytes
		w.unread.Add(at.path, "has too many subfolders, which were not listed")
		return
	}
	if len(names) > 0 {
		w.stack = append(w.stack, &frame{node: n, folders: names})
	}
}

// nameCost returns the memory for the name of an unvisited folder.
func nameCost(name string) int64 { return int64(len(name)) + 16 }

// folderError handles a folder that was not read. A reply error of a folder other than
// the root is recorded in unread and does not end the walk.
func (w *walk) folderError(ctx context.Context, at folder, err error) error {
	s := w.session
	switch {
	case !isReplyError(err):
		return s.explain(err, "list", at.path)
	case errors.Is(err, errFolderTooLarge) && w.request.Brief:
		return w.briefError()
	case at.depth > 0:
		w.unread.Add(at.path, s.unreadReason(err))
		return nil
	default:
		return s.explainRoot(ctx, err, at.path)
	}
}

const (
	// briefEntries and briefBytes bound a brief listing.
	briefEntries = 20_000
	briefBytes   = 8 << 20
)

// limits returns the limits of one folder.
func (w *walk) limits() folderLimits {
	limits := w.session.folderLimits()
	if w.request.Brief {
		limits.entries, limits.bytes = min(limits.entries, briefEntries), min(limits.bytes, briefBytes)
	}
	return limits
}

func (w *walk) briefError() error {
	return ingest.Errorf(ingest.KindTransient, "server %s has too many entries for a brief listing", w.session.server.Name)
}

// checkLimits returns an error if the listing exceeds its limits.
func (w *walk) checkLimits(at folder, found *folderContents) error {
	cfg := w.session.cfg
	w.entries += int64(len(found.names))
	if w.request.Brief && w.entries > briefEntries {
		return w.briefError()
	}
	if w.entries > cfg.MaxEntries || w.bytes > cfg.MaxBytes {
		return ingest.Errorf(ingest.KindInvalid,
			"server %s lists more than %d entries or %d MiB of names, the listing stopped at %s: narrow --path or exclude folders",
			w.session.server.Name, cfg.MaxEntries, cfg.MaxBytes>>20, ingest.DisplayPath(at.path))
	}
	return nil
}
