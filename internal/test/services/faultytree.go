package services

import (
	"path"
	"sync"
	"testing"
	"time"
)

// FaultyTree is an SFTP server in this process that serves a tree of folders in memory
// and reproduces the deviations of real servers. It implements the protocol itself, in
// order to send packets that no library sends.
type FaultyTree struct {
	*FaultySFTP

	mu       sync.Mutex
	faults   TreeFaults
	tree     fileTree
	requests []TreeRequest
	conns    int
}

// TreeFaults are the deviations of a FaultyTree. The zero value is a correct server.
type TreeFaults struct {
	// NoTypes omits the file type from permissions, NoAttrs all attributes from
	// listings, NoSizes and NoTimes these attributes, NoLong the long form of names.
	NoTypes, NoAttrs, NoSizes, NoTimes, NoLong bool
	// NoSizesIn and NoTimesIn omit these attributes from the responses to these
	// operations only.
	NoSizesIn, NoTimesIn []string
	// ShiftIn shifts the times in the responses to an operation.
	ShiftIn map[string]time.Duration
	// Missing is the status for paths that do not exist. Default: no such file.
	Missing uint32
	// End is the status at the end of a folder, or one of EndOK, EndEmpty and EndAgain.
	// Default: EOF.
	End uint32
	// FollowsLinks shows the targets of links in place of the links, also in listings.
	FollowsLinks bool
	// IgnoresCase finds paths regardless of case, like servers on Windows.
	IgnoresCase bool
	// PlainPaths makes REALPATH only clean the path, without following links.
	PlainPaths bool
	// PerAnswer is the number of names in one response. Default: 100.
	PerAnswer int
	// Request, if not nil, may answer a request: it returns a status, Pretend,
	// CutConnection, or 0 for the correct response.
	Request func(TreeRequest) uint32
	// Names, if not nil, may return the NAME packet, without type and id, of the n-th
	// response for a folder, from 0. nil is the correct response.
	Names func(folder string, n int) []byte
}

// SFTP statuses that tests use, and pseudo-statuses of TreeFaults.
const (
	StatusEOF         uint32 = 1
	StatusNoSuchFile  uint32 = 2
	StatusPermission  uint32 = 3
	StatusFailure     uint32 = 4
	StatusUnsupported uint32 = 8

	EndOK         uint32 = 1000 // the folder ends with the status OK
	EndEmpty      uint32 = 1001 // it ends with responses without names
	EndAgain      uint32 = 1002 // it never ends: the names start again
	CutConnection uint32 = 1003 // the connection is closed
	Pretend       uint32 = 1004 // the status OK, without an effect
)

// TreeRequest is one request to a FaultyTree.
type TreeRequest struct {
	// Op is the name of the packet type, such as "OPENDIR". Path is the path of the
	// request, or of its handle.
	Op, Path string
	// N numbers the requests of the connection, Conn the connections, both from 1.
	N, Conn int
}

// StartFaultyTree starts the server with an empty folder /in. It ends with the test.
func StartFaultyTree(t testing.TB) *FaultyTree {
	t.Helper()
	s := &FaultyTree{FaultySFTP: StartFaultySFTP(t), tree: fileTree{}}
	s.raw = s.serveChannel
	s.Folder("")
	return s
}

// SetFaults replaces the faults of the server.
func (s *FaultyTree) SetFaults(faults TreeFaults) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = faults
}

// File adds a file, an hour old, with its parent folders. Names are relative to /in.
func (s *FaultyTree) File(name, content string) {
	s.put(name, &treeNode{mode: modeFile, content: []byte(content)})
}

// Folder adds an empty folder.
func (s *FaultyTree) Folder(name string) { s.put(name, &treeNode{mode: modeFolder}) }

// Link adds a symbolic link to an absolute path.
func (s *FaultyTree) Link(name, target string) { s.put(name, &treeNode{mode: modeLink, link: target}) }

func (s *FaultyTree) put(name string, n *treeNode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tree.put(path.Join(faultyRoot, name), n)
}

// Has reports whether the path, relative to /in, exists.
func (s *FaultyTree) Has(name string) bool {
	_, found := s.Content(path.Join(faultyRoot, name))
	return found
}

// Drop removes the path, relative to /in, and reports whether it existed.
func (s *FaultyTree) Drop(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := path.Join(faultyRoot, name)
	found := s.tree[at] != nil
	delete(s.tree, at)
	return found
}

// Touch sets the time of the path, relative to /in.
func (s *FaultyTree) Touch(name string, to time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tree[path.Join(faultyRoot, name)].mtime = to
}

// Content returns the content of the file at an absolute path and whether it exists.
func (s *FaultyTree) Content(at string) (content string, found bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.tree[at]
	if n == nil {
		return "", false
	}
	return string(n.content), true
}

// Requests returns all requests so far with the operation, or all of them for "".
func (s *FaultyTree) Requests(op string) (all []TreeRequest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.requests {
		if op == "" || r.Op == op {
			all = append(all, r)
		}
	}
	return all
}
