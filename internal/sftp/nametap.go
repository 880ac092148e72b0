package sftp

import (
	"encoding/binary"
	"errors"
	"io"
	"sync"
)

// nameTap reads along with what the server sends to the SFTP client, for two
// things that the client does not give: the names in a folder as the server
// sent them (the client cuts them to their last element, so that a hostile
// "x/.." cannot be told from ".."), and a limit on how many there may be
// before all of them are in memory. It changes nothing.
type nameTap struct {
	source io.Reader

	// Only the client's one reading goroutine touches these.
	header [5]byte // length and type of the packet under way
	filled int     // bytes of header there
	rest   int     // bytes of the packet's body to come
	body   []byte  // collected body, of packets with names only

	// turn is held by one listing: sessions that share a connection take turns.
	turn    sync.Mutex
	mu      sync.Mutex
	listing *listing
}

// listing is what the tap has seen of one folder.
type listing struct {
	// names are raw and in order, without "." and "..".
	names []rawName
	limit int
	// more is called when names came in.
	more func()
	// full is set when there were more than limit.
	full bool
}

// rawName is a name as the server sent it.
type rawName struct {
	name string
	// sized says that the server told the size; without it the client shows 0.
	sized bool
}

// Packet types and attribute flags of SFTP version 3.
const (
	packetName     = 104
	attrSize       = 0x1
	attrOwner      = 0x2
	attrMode       = 0x4
	attrTimes      = 0x8
	attrExtended   = 0x80000000
	maxPacketBytes = 256 << 10 // the client refuses larger ones
)

var (
	errFolderFull = errors.New("folder has too many entries")
	errBadNames   = errors.New("malformed list of names")
)

// begin starts to collect once the previous listing has ended.
func (t *nameTap) begin(limit int, more func()) *listing {
	t.turn.Lock()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.listing = &listing{limit: limit, more: more}
	return t.listing
}

// end stops collecting. The listing is the caller's from then on.
func (t *nameTap) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.listing = nil
	t.turn.Unlock()
}

// Read implements io.Reader. An error of the tap ends the connection.
func (t *nameTap) Read(p []byte) (int, error) {
	n, err := t.source.Read(p)
	if tapErr := t.follow(p[:n]); tapErr != nil {
		return 0, tapErr
	}
	return n, err
}

// follow cuts the stream into packets.
func (t *nameTap) follow(p []byte) error {
	for len(p) > 0 {
		if t.filled < len(t.header) {
			n := copy(t.header[t.filled:], p)
			t.filled, p = t.filled+n, p[n:]
			if t.filled < len(t.header) {
				return nil
			}
			if err := t.open(); err != nil {
				return err
			}
		}
		n := min(t.rest, len(p))
		if t.header[4] == packetName {
			t.body = append(t.body, p[:n]...)
		}
		t.rest, p = t.rest-n, p[n:]
		if t.rest == 0 {
			if err := t.close(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *nameTap) open() error {
	length := binary.BigEndian.Uint32(t.header[:4])
	if length < 1 || length > maxPacketBytes {
		return errors.New("malformed packet")
	}
	t.rest, t.body = int(length)-1, t.body[:0]
	return nil
}

func (t *nameTap) close() error {
	t.filled = 0
	if t.header[4] != packetName {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.listing == nil {
		return nil
	}
	return t.listing.take(fields(t.body))
}

// take adds the names of one packet.
func (l *listing) take(packet fields) error {
	packet, _, ok := packet.uint32() // request id
	packet, count, ok2 := packet.uint32()
	if !ok || !ok2 {
		return errBadNames
	}
	for range count {
		var raw rawName
		if packet, raw, ok = packet.entry(); !ok {
			return errBadNames
		}
		if raw.name == "." || raw.name == ".." {
			continue
		}
		if l.names = append(l.names, raw); len(l.names) > l.limit {
			l.full = true
			return errFolderFull
		}
	}
	if count > 0 {
		l.more()
	}
	return nil
}

// fields reads SFTP's encoding; every method returns what is left.
type fields []byte

func (f fields) uint32() (fields, uint32, bool) {
	if len(f) < 4 {
		return nil, 0, false
	}
	return f[4:], binary.BigEndian.Uint32(f), true
}

func (f fields) skip(n uint32) (fields, bool) {
	if uint64(len(f)) < uint64(n) {
		return nil, false
	}
	return f[n:], true
}

func (f fields) text() (fields, string, bool) {
	f, n, ok := f.uint32()
	if !ok || uint64(len(f)) < uint64(n) {
		return nil, "", false
	}
	return f[n:], string(f[:n]), true
}

// entry reads a name, its long form and its attributes.
func (f fields) entry() (fields, rawName, bool) {
	f, name, ok := f.text()
	if !ok {
		return nil, rawName{}, false
	}
	f, long, ok := f.uint32()
	if ok {
		f, ok = f.skip(long)
	}
	if !ok {
		return nil, rawName{}, false
	}
	f, flags, ok := f.attributes()
	return f, rawName{name: name, sized: flags&attrSize != 0}, ok
}

func (f fields) attributes() (fields, uint32, bool) {
	f, flags, ok := f.uint32()
	if !ok {
		return nil, 0, false
	}
	for flag, size := range map[uint32]uint32{attrSize: 8, attrOwner: 8, attrMode: 4, attrTimes: 8} {
		if flags&flag != 0 && ok {
			f, ok = f.skip(size)
		}
	}
	if !ok || flags&attrExtended == 0 {
		return f, flags, ok
	}
	f, pairs, ok := f.uint32()
	for ; ok && pairs > 0; pairs-- {
		if f, _, ok = f.text(); ok {
			f, _, ok = f.text()
		}
	}
	return f, flags, ok
}
