package sftp

import (
	"encoding/binary"
	"errors"
)

// Packet types of SFTP version 3.
const (
	packetClose    = 4
	packetLstat    = 7
	packetFstat    = 8
	packetOpendir  = 11
	packetReaddir  = 12
	packetRemove   = 13
	packetRmdir    = 15
	packetRealpath = 16
	packetStat     = 17
	packetRename   = 18
	packetReadlink = 19
	packetStatus   = 101
	packetHandle   = 102
	packetData     = 103
	packetName     = 104
	packetAttrs    = 105

	packetExtended      = 200
	packetExtendedReply = 201
)

// Attribute flags of SFTP version 3.
const (
	attrSize     = 0x1
	attrOwner    = 0x2
	attrMode     = 0x4
	attrTimes    = 0x8
	attrExtended = 0x80000000
)

var (
	errMalformedReply  = errors.New("the server sent a malformed reply")
	errUnexpectedReply = errors.New("the server sent a reply of the wrong type")
)

// attrs are the attributes in a reply; flags are the attribute flags of SFTP.
type attrs struct {
	Size        uint64
	Mode, Mtime uint32
	flags       uint32
}

func (a attrs) hasSize() bool { return a.flags&attrSize != 0 }
func (a attrs) hasTime() bool { return a.flags&attrTimes != 0 }

// filled returns a with the size and time of other if it has none.
func (a attrs) filled(other attrs) attrs {
	if !a.hasSize() && other.hasSize() {
		a.Size, a.flags = other.Size, a.flags|attrSize
	}
	if !a.hasTime() && other.hasTime() {
		a.Mtime, a.flags = other.Mtime, a.flags|attrTimes
	}
	return a
}

// rawName is an entry of a folder in a NAME reply.
type rawName struct {
	name string
	// fullLen is the length of the original name if name is shortened, otherwise 0.
	fullLen int
	kind    kind
	attrs   attrs
}

// fields decodes SFTP's encoding. Each method returns the remaining bytes first.
type fields []byte

func (f fields) uint32() (fields, uint32, bool) {
	if len(f) < 4 {
		return nil, 0, false
	}
	return f[4:], binary.BigEndian.Uint32(f), true
}

func (f fields) uint64() (fields, uint64, bool) {
	if len(f) < 8 {
		return nil, 0, false
	}
	return f[8:], binary.BigEndian.Uint64(f), true
}

// bytes returns a string without copying it.
func (f fields) bytes() (fields, []byte, bool) {
	f, n, ok := f.uint32()
	if !ok || uint64(len(f)) < uint64(n) {
		return nil, nil, false
	}
	return f[n:], f[:n], true
}

// entry decodes a name, its longname and its attributes. The name is a bounded copy, so
// that the packet is not retained.
func (f fields) entry() (fields, rawName, bool) {
	f, name, ok := f.bytes()
	if !ok {
		return nil, rawName{}, false
	}
	f, longName, ok := f.bytes()
	if !ok {
		return nil, rawName{}, false
	}
	f, a, ok := f.attributes()
	raw := rawName{kind: kindOf(a, longName), attrs: a}
	raw.name, raw.fullLen = shortName(name)
	return f, raw, ok
}

func (f fields) attributes() (_ fields, a attrs, ok bool) {
	if f, a.flags, ok = f.uint32(); !ok {
		return nil, a, false
	}
	if a.hasSize() {
		f, a.Size, ok = f.uint64()
	}
	if ok && a.flags&attrOwner != 0 {
		f, _, ok = f.uint64()
	}
	if ok && a.flags&attrMode != 0 {
		f, a.Mode, ok = f.uint32()
	}
	if ok && a.hasTime() {
		var times uint64 // of access and of modification
		f, times, ok = f.uint64()
		a.Mtime = uint32(times)
	}
	if !ok || a.flags&attrExtended == 0 {
		return f, a, ok
	}
	f, pairs, ok := f.uint32()
	for ; ok && pairs > 0; pairs-- {
		if f, _, ok = f.bytes(); ok {
			f, _, ok = f.bytes()
		}
	}
	return f, a, ok
}

// names calls fn for each entry of a NAME packet and returns their number.
func (f fields) names(fn func(rawName)) (count uint32, err error) {
	f, count, ok := f.uint32()
	if !ok {
		return 0, errMalformedReply
	}
	for range count {
		var raw rawName
		if f, raw, ok = f.entry(); !ok {
			return count, errMalformedReply
		}
		fn(raw)
	}
	return count, nil
}

// status returns the error of a STATUS packet; nil for OK.
func (f fields) status() error {
	f, code, ok := f.uint32()
	if !ok {
		return errUnexpectedReply
	}
	if code == statusOK {
		return nil
	}
	_, message, _ := f.bytes() // missing in version 2
	return &statusError{code: code, message: string(message[:min(len(message), maxMessageBytes)])}
}
