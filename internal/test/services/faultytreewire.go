package services

import (
	"cmp"
	"encoding/binary"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
)

// Packet types of the SFTP protocol, version 3 (draft-ietf-secsh-filexfer-02).
const (
	typeInit    = 1
	typeVersion = 2
	typeStatus  = 101
	typeHandle  = 102
	typeData    = 103
	typeName    = 104
	typeAttrs   = 105
)

// treeOps names the packet types of requests.
var treeOps = map[byte]string{
	3: "OPEN", 4: "CLOSE", 5: "READ", 7: "LSTAT", 8: "FSTAT", 11: "OPENDIR", 12: "READDIR", 13: "REMOVE", 16: "REALPATH",
	17: "STAT", 18: "RENAME", 19: "READLINK",
}

// treeConn is one connection to a FaultyTree.
type treeConn struct {
	*FaultyTree
	conn, n int
	handles map[string]*treeHandle
}

// treeHandle is an open file or folder. An open file remains readable without its name.
type treeHandle struct {
	path      string
	node      *treeNode
	names     []string // not sent yet
	responses int
}

// serveChannel answers the requests of one channel until it is closed.
func (s *FaultyTree) serveChannel(channel io.ReadWriter) {
	s.mu.Lock()
	s.conns++
	c := treeConn{FaultyTree: s, conn: s.conns, handles: map[string]*treeHandle{}}
	s.mu.Unlock()
	for {
		var header [4]byte
		if _, err := io.ReadFull(channel, header[:]); err != nil {
			return
		}
		packet := make([]byte, binary.BigEndian.Uint32(header[:]))
		if _, err := io.ReadFull(channel, packet); err != nil {
			return
		}
		response := c.respond(packet)
		if response == nil {
			return
		}
		if _, err := channel.Write(wireText(string(response))); err != nil {
			return
		}
	}
}

func wireNumber(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

func wireText(s string) []byte { return append(wireNumber(uint32(len(s))), s...) }

func wireStatus(code uint32) (byte, []byte) {
	return typeStatus, slices.Concat(wireNumber(code), wireText(""), wireText(""))
}

// wireName is a NAME packet with a single name and no attributes.
func wireName(name string) (byte, []byte) {
	return typeName, slices.Concat(wireNumber(1), wireText(name), wireText(""), wireNumber(0))
}

// cutText splits a string off a packet.
func cutText(p []byte) (string, []byte) {
	n := binary.BigEndian.Uint32(p)
	return string(p[4 : 4+n]), p[4+n:]
}

// respond returns the response without its length; nil closes the connection.
func (c *treeConn) respond(packet []byte) []byte {
	if packet[0] == typeInit {
		return append([]byte{typeVersion}, wireNumber(3)...)
	}
	id := packet[1:5]
	kind, body := c.request(treeOps[packet[0]], packet[5:])
	if kind == 0 {
		return nil
	}
	return slices.Concat([]byte{kind}, id, body)
}

func (c *treeConn) request(op string, p []byte) (byte, []byte) {
	at, rest := cutText(p) // a path or a handle
	h := c.handles[at]
	if h != nil {
		at = h.path
	}
	c.mu.Lock()
	c.n++
	r := TreeRequest{Op: op, Path: at, N: c.n, Conn: c.conn}
	c.requests = append(c.requests, r)
	fault := c.faults.Request
	c.mu.Unlock()
	if fault != nil {
		switch code := fault(r); code {
		case 0:
		case CutConnection:
			return 0, nil
		case Pretend:
			return wireStatus(0)
		default:
			return wireStatus(code)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch op {
	case "CLOSE":
		key, _ := cutText(p)
		delete(c.handles, key)
		return wireStatus(0)
	case "READDIR":
		return c.readdir(h)
	case "READ":
		return c.read(h, rest)
	case "FSTAT":
		if h != nil {
			return typeAttrs, c.attributes(h.node, op)
		}
		return wireStatus(StatusFailure)
	}
	return c.pathRequest(op, path.Clean(at), rest)
}

// pathRequest answers a request about a path.
func (c *treeConn) pathRequest(op, at string, rest []byte) (byte, []byte) {
	plain := at
	if c.faults.IgnoresCase {
		at = c.tree.spelled(at)
	}
	full := c.tree.resolve(at)
	switch op {
	case "REALPATH":
		if c.faults.PlainPaths {
			full = path.Join("/", plain)
		}
		return wireName(full)
	case "LSTAT":
		if !c.faults.FollowsLinks {
			full = path.Join(c.tree.resolve(path.Dir(at)), path.Base(at))
		}
	case "READLINK", "REMOVE", "RENAME":
		full = path.Join(c.tree.resolve(path.Dir(at)), path.Base(at))
	}
	n := c.tree[full]
	if n == nil {
		return c.missing()
	}
	switch op {
	case "LSTAT", "STAT":
		return typeAttrs, c.attributes(n, op)
	case "READLINK":
		if n.link == "" {
			return wireStatus(StatusFailure)
		}
		return wireName(n.link)
	case "OPENDIR", "OPEN":
		if n.isFolder() != (op == "OPENDIR") {
			return wireStatus(StatusFailure)
		}
		key := strconv.Itoa(c.n)
		c.handles[key] = &treeHandle{path: full, node: n, names: c.tree.names(full)}
		return typeHandle, wireText(key)
	case "REMOVE":
		delete(c.tree, full)
		return wireStatus(0)
	case "RENAME":
		to, _ := cutText(rest)
		if c.faults.IgnoresCase {
			to = c.tree.spelled(to)
		}
		if c.tree[path.Dir(to)] == nil {
			return c.missing()
		}
		if c.tree[to] != nil {
			return wireStatus(StatusFailure) // as OpenSSH does
		}
		c.tree[to] = n
		delete(c.tree, full)
		return wireStatus(0)
	}
	return wireStatus(StatusUnsupported)
}

func (c *treeConn) missing() (byte, []byte) {
	return wireStatus(cmp.Or(c.faults.Missing, StatusNoSuchFile))
}

func (c *treeConn) readdir(h *treeHandle) (byte, []byte) {
	if h == nil {
		return wireStatus(StatusFailure)
	}
	if c.faults.Names != nil {
		if body := c.faults.Names(h.path, h.responses); body != nil {
			h.responses++
			return typeName, body
		}
	}
	if len(h.names) == 0 {
		switch c.faults.End {
		case 0:
			return wireStatus(StatusEOF)
		case EndOK:
			return wireStatus(0)
		case EndEmpty:
			return typeName, wireNumber(0)
		case EndAgain:
			h.names = c.tree.names(h.path)
		default:
			return wireStatus(c.faults.End)
		}
	}
	page := h.names[:min(cmp.Or(c.faults.PerAnswer, 100), len(h.names))]
	h.names, h.responses = h.names[len(page):], h.responses+1
	body := wireNumber(uint32(len(page)))
	for _, name := range page {
		body = append(body, c.entry(path.Join(h.path, name), name)...)
	}
	return typeName, body
}

// entry is a name in a listing: short form, long form and attributes.
func (c *treeConn) entry(at, name string) []byte {
	n := c.tree[at]
	if target := c.tree[c.tree.resolve(at)]; c.faults.FollowsLinks && target != nil {
		n = target
	}
	if n == nil { // "." and ".."
		n = &treeNode{mode: modeFolder}
	}
	long := longMode(n.mode) + " 1 u g 1 Jan 01 00:00 " + name
	if c.faults.NoLong {
		long = ""
	}
	return slices.Concat(wireText(name), wireText(long), c.attributes(n, "READDIR"))
}

// longMode formats a mode like `ls -l`.
func longMode(mode uint32) string {
	kinds := map[uint32]string{0o100000: "-", 0o040000: "d", 0o120000: "l"}
	return kinds[mode&modeType] + fs.FileMode(mode & 0o777).String()[1:]
}

func (c *treeConn) attributes(n *treeNode, op string) []byte {
	const hasSize, hasPermissions, hasTimes = 1, 4, 8
	if op == "READDIR" && c.faults.NoAttrs {
		return wireNumber(0)
	}
	mode := n.mode
	if c.faults.NoTypes {
		mode &= 0o777
	}
	flags, body := uint32(hasPermissions), wireNumber(mode)
	if !c.faults.NoSizes && !slices.Contains(c.faults.NoSizesIn, op) {
		flags, body = flags|hasSize, append(binary.BigEndian.AppendUint64(nil, uint64(len(n.content))), body...)
	}
	if !c.faults.NoTimes && !slices.Contains(c.faults.NoTimesIn, op) {
		at := uint32(n.mtime.Add(c.faults.ShiftIn[op]).Unix())
		flags, body = flags|hasTimes, slices.Concat(body, wireNumber(at), wireNumber(at))
	}
	return append(wireNumber(flags), body...)
}

func (c *treeConn) read(h *treeHandle, rest []byte) (byte, []byte) {
	if h == nil {
		return wireStatus(StatusFailure)
	}
	content, off := h.node.content, binary.BigEndian.Uint64(rest)
	if off >= uint64(len(content)) {
		return wireStatus(StatusEOF)
	}
	end := min(uint64(len(content)), off+uint64(binary.BigEndian.Uint32(rest[8:])))
	return typeData, wireText(string(content[off:end]))
}
