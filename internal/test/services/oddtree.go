package services

import (
	"encoding/binary"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// OddTree is an SFTP server in this process that serves a tree in memory and is odd
// in the ways that whole servers are. It speaks the protocol itself, so that it can
// send what no library would.
type OddTree struct {
	*OddSFTP

	mu       sync.Mutex
	ways     OddWays
	nodes    map[string]*treeNode
	requests []OddRequest
	conns    int
}

// OddWays are how it is odd; the zero value is honest.
type OddWays struct {
	// NoTypes leaves the type out of permissions, NoAttrs all attributes out of
	// listings, NoSizes and NoTimes these; NoLong leaves out the long form of names.
	NoTypes, NoAttrs, NoSizes, NoTimes, NoLong bool
	// Missing is the status for what is not there; 0 is "no such file".
	Missing uint32
	// End is how a folder ends; 0 is EOF, EndOK, EndEmpty and EndAgain are no status.
	End uint32
	// FollowsLinks shows links as what they lead to, wherever it is asked.
	FollowsLinks bool
	// PlainPaths makes REALPATH tidy up names only.
	PlainPaths bool
	// PerAnswer is how many names one answer has; 0 is 100.
	PerAnswer int
	// Request may answer itself: a status, CutLine, or 0 for the honest answer.
	Request func(OddRequest) uint32
	// Names may give the whole NAME packet after the id for the n-th answer about a
	// folder, from 0; nil is the honest one.
	Names func(folder string, n int) []byte
}

// Statuses that tests name, and what is none.
const (
	StatusEOF         uint32 = 1
	StatusNoSuchFile  uint32 = 2
	StatusPermission  uint32 = 3
	StatusFailure     uint32 = 4
	StatusUnsupported uint32 = 8

	EndOK    uint32 = 1000 // a folder ends with the status OK
	EndEmpty uint32 = 1001 // with answers without names
	EndAgain uint32 = 1002 // not at all: it begins again
	CutLine  uint32 = 1003 // the connection ends
)

// OddRequest is one request.
type OddRequest struct {
	// Op is "OPENDIR" and so on; Path is of the handle, where there is one.
	Op, Path string
	// N counts the requests of the connection, Conn the connections, both from 1.
	N, Conn int
}

type treeNode struct {
	mode    uint32
	mtime   time.Time
	content []byte
	link    string
}

var oddOps = map[byte]string{
	3: "OPEN", 4: "CLOSE", 5: "READ", 7: "LSTAT", 8: "FSTAT", 11: "OPENDIR", 12: "READDIR", 13: "REMOVE", 16: "REALPATH",
	17: "STAT", 18: "RENAME", 19: "READLINK",
}

// StartOddTree starts the server with an empty folder /in; it ends with the test.
func StartOddTree(t testing.TB) *OddTree {
	t.Helper()
	o := &OddTree{OddSFTP: StartOddSFTP(t), nodes: map[string]*treeNode{}}
	o.raw = o.talk
	o.Folder("")
	return o
}

// Be changes how the server is odd.
func (o *OddTree) Be(ways OddWays) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ways = ways
}

// File puts a file there, an hour old; Folder a folder, Link a symbolic link to an
// absolute path. Names are below /in. Folders above are made.
func (o *OddTree) File(name, content string) {
	o.put(name, &treeNode{mode: 0o100644, content: []byte(content)})
}

// Folder makes an empty folder.
func (o *OddTree) Folder(name string) { o.put(name, &treeNode{mode: 0o040755}) }

// Link makes a symbolic link.
func (o *OddTree) Link(name, target string) { o.put(name, &treeNode{mode: 0o120777, link: target}) }

func (o *OddTree) put(name string, n *treeNode) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n.mtime = time.Now().Add(-time.Hour)
	at := path.Join(oddRoot, name)
	o.nodes[at] = n
	for at != "/" {
		at = path.Dir(at)
		if o.nodes[at] == nil {
			o.nodes[at] = &treeNode{mode: 0o040755, mtime: n.mtime}
		}
	}
}

// Has reports whether the path below /in is there.
func (o *OddTree) Has(name string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.nodes[path.Join(oddRoot, name)] != nil
}

// Requests returns those so far of the kind, "" for all.
func (o *OddTree) Requests(op string) (all []OddRequest) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range o.requests {
		if op == "" || r.Op == op {
			all = append(all, r)
		}
	}
	return all
}

// oddHandle is an open file or folder.
type oddHandle struct {
	path  string
	names []string // still to be sent
	sent  int      // answers
}

// talk answers the requests of one channel.
func (o *OddTree) talk(channel io.ReadWriter) {
	o.mu.Lock()
	o.conns++
	c := oddTalk{tree: o, conn: o.conns, handles: map[string]*oddHandle{}}
	o.mu.Unlock()
	for {
		var header [4]byte
		if _, err := io.ReadFull(channel, header[:]); err != nil {
			return
		}
		packet := make([]byte, binary.BigEndian.Uint32(header[:]))
		if _, err := io.ReadFull(channel, packet); err != nil {
			return
		}
		answer := c.answer(packet)
		if answer == nil {
			return
		}
		if _, err := channel.Write(oddText(string(answer))); err != nil {
			return
		}
	}
}

// oddTalk is one connection.
type oddTalk struct {
	tree    *OddTree
	conn, n int
	handles map[string]*oddHandle
}

func oddNumber(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

func oddText(s string) []byte { return append(oddNumber(uint32(len(s))), s...) }

// takeText cuts a string off.
func takeText(p []byte) (string, []byte) {
	n := binary.BigEndian.Uint32(p)
	return string(p[4 : 4+n]), p[4+n:]
}

// answer returns the whole packet; nil ends the connection.
func (c *oddTalk) answer(packet []byte) []byte {
	if packet[0] == 1 {
		return append([]byte{2}, oddNumber(3)...)
	}
	id := packet[1:5]
	kind, body := c.request(packet[0], packet[5:])
	if kind == 0 {
		return nil
	}
	return slices.Concat([]byte{kind}, id, body)
}

func oddStatus(code uint32) (byte, []byte) {
	return 101, slices.Concat(oddNumber(code), oddText(""), oddText(""))
}

func (c *oddTalk) request(kind byte, p []byte) (byte, []byte) {
	o, op := c.tree, oddOps[kind]
	at, rest := takeText(p)
	h := c.handles[at]
	if h != nil {
		at = h.path
	}
	o.mu.Lock()
	c.n++
	r := OddRequest{Op: op, Path: at, N: c.n, Conn: c.conn}
	o.requests = append(o.requests, r)
	odd := o.ways.Request
	o.mu.Unlock()
	if odd != nil {
		switch code := odd(r); code {
		case 0:
		case CutLine:
			return 0, nil
		default:
			return oddStatus(code)
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return c.honest(op, at, h, p, rest)
}

// honest answers as the tree is.
func (c *oddTalk) honest(op, at string, h *oddHandle, p, rest []byte) (byte, []byte) {
	o := c.tree
	at = path.Clean(at)
	switch op {
	case "REALPATH":
		real := o.real(at)
		if o.ways.PlainPaths {
			real = path.Join("/", at)
		}
		return 104, slices.Concat(oddNumber(1), oddText(real), oddText(""), oddNumber(0))
	case "CLOSE":
		key, _ := takeText(p)
		delete(c.handles, key)
		return oddStatus(0)
	case "READDIR":
		return o.readdir(h)
	case "READ":
		return o.read(h, rest)
	}
	full := o.real(at)
	if op == "LSTAT" || op == "READLINK" || op == "REMOVE" || op == "RENAME" {
		full = path.Join(o.real(path.Dir(at)), path.Base(at))
		if op == "LSTAT" && o.ways.FollowsLinks {
			full = o.real(at)
		}
	}
	n := o.nodes[full]
	if n == nil {
		return o.missing()
	}
	return c.about(op, full, n, rest)
}

func (o *OddTree) missing() (byte, []byte) {
	if o.ways.Missing != 0 {
		return oddStatus(o.ways.Missing)
	}
	return oddStatus(StatusNoSuchFile)
}

// about answers a request about what is there.
func (c *oddTalk) about(op, full string, n *treeNode, rest []byte) (byte, []byte) {
	o := c.tree
	switch op {
	case "LSTAT", "STAT", "FSTAT":
		return 105, o.attributes(n, false)
	case "READLINK":
		if n.link == "" {
			return oddStatus(StatusFailure)
		}
		return 104, slices.Concat(oddNumber(1), oddText(n.link), oddText(""), oddNumber(0))
	case "OPENDIR", "OPEN":
		if (n.mode&0o170000 == 0o040000) != (op == "OPENDIR") {
			return oddStatus(StatusFailure)
		}
		key := strconv.Itoa(c.n)
		c.handles[key] = &oddHandle{path: full, names: o.names(full)}
		return 102, oddText(key)
	case "REMOVE":
		delete(o.nodes, full)
		return oddStatus(0)
	case "RENAME":
		to, _ := takeText(rest)
		if o.nodes[path.Dir(to)] == nil {
			return o.missing()
		}
		o.nodes[to] = n
		delete(o.nodes, full)
		return oddStatus(0)
	}
	return oddStatus(StatusUnsupported)
}

// real is the path with all links followed; like Linux it follows at most 40, and
// then there is nothing.
func (o *OddTree) real(at string) string {
	at, done := path.Join("/", at), "/"
	for links := 0; links <= 40; {
		if at == "/" {
			return done
		}
		name, rest, _ := strings.Cut(at[1:], "/")
		step := path.Join(done, name)
		at = path.Join("/", rest)
		if n := o.nodes[step]; n != nil && n.link != "" {
			at, done = path.Join(n.link, rest), "/"
			links++
			continue
		}
		done = step
	}
	return "/too many links"
}

// names are those in a folder, in order.
func (o *OddTree) names(folder string) []string {
	names := []string{".", ".."}
	for at := range o.nodes {
		if at != "/" && path.Dir(at) == folder {
			names = append(names, path.Base(at))
		}
	}
	slices.Sort(names)
	return names
}

func (o *OddTree) readdir(h *oddHandle) (byte, []byte) {
	if h == nil {
		return oddStatus(StatusFailure)
	}
	if o.ways.Names != nil {
		if body := o.ways.Names(h.path, h.sent); body != nil {
			h.sent++
			return 104, body
		}
	}
	if len(h.names) == 0 {
		switch o.ways.End {
		case 0:
			return oddStatus(StatusEOF)
		case EndOK:
			return oddStatus(0)
		case EndEmpty:
			return 104, oddNumber(0)
		case EndAgain:
			h.names = o.names(h.path)
		default:
			return oddStatus(o.ways.End)
		}
	}
	most := o.ways.PerAnswer
	if most == 0 {
		most = 100
	}
	now := h.names[:min(most, len(h.names))]
	h.names, h.sent = h.names[len(now):], h.sent+1
	body := oddNumber(uint32(len(now)))
	for _, name := range now {
		body = append(body, o.entry(path.Join(h.path, name), name)...)
	}
	return 104, body
}

// entry is a name with its long form and attributes.
func (o *OddTree) entry(at, name string) []byte {
	n := o.nodes[at]
	if o.ways.FollowsLinks && o.nodes[o.real(at)] != nil {
		n = o.nodes[o.real(at)]
	}
	if n == nil {
		n = &treeNode{mode: 0o040755}
	}
	long := oddMode(n.mode) + " 1 u g 1 Jan 01 00:00 " + name
	if o.ways.NoLong {
		long = ""
	}
	return slices.Concat(oddText(name), oddText(long), o.attributes(n, true))
}

// oddMode is a mode as `ls -l` writes it.
func oddMode(mode uint32) string {
	kinds := map[uint32]string{0o100000: "-", 0o040000: "d", 0o120000: "l"}
	return kinds[mode&0o170000] + fs.FileMode(mode & 0o777).String()[1:]
}

func (o *OddTree) attributes(n *treeNode, listed bool) []byte {
	if listed && o.ways.NoAttrs {
		return oddNumber(0)
	}
	mode := n.mode
	if o.ways.NoTypes {
		mode &= 0o777
	}
	flags, body := uint32(4), oddNumber(mode)
	if !o.ways.NoSizes {
		flags, body = flags|1, append(binary.BigEndian.AppendUint64(nil, uint64(len(n.content))), body...)
	}
	if !o.ways.NoTimes {
		at := uint32(n.mtime.Unix())
		flags, body = flags|8, slices.Concat(body, oddNumber(at), oddNumber(at))
	}
	return append(oddNumber(flags), body...)
}

func (o *OddTree) read(h *oddHandle, rest []byte) (byte, []byte) {
	if h == nil || o.nodes[h.path] == nil {
		return oddStatus(StatusFailure)
	}
	content, off := o.nodes[h.path].content, binary.BigEndian.Uint64(rest)
	if off >= uint64(len(content)) {
		return oddStatus(StatusEOF)
	}
	end := min(uint64(len(content)), off+uint64(binary.BigEndian.Uint32(rest[8:])))
	return 103, oddText(string(content[off:end]))
}

// Drop takes the path below /in away, and reports whether it was there.
func (o *OddTree) Drop(name string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	at := path.Join(oddRoot, name)
	there := o.nodes[at] != nil
	delete(o.nodes, at)
	return there
}

// Content is that of a file at an absolute path; there is false when there is none.
func (o *OddTree) Content(at string) (content string, there bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := o.nodes[at]
	if n == nil {
		return "", false
	}
	return string(n.content), true
}
