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
	packetRealpath = 16
	packetStat     = 17
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
	errMalformedReply  = errors.New("the server's answer is malformed")
	errUnexpectedReply = errors.New("the server gave an answer of another kind than asked for")
)

// attrs are the attributes that a server gave; flags says which these are.
type attrs struct {
	Size        uint64
	Mode, Mtime uint32
	flags       uint32
}

func (a attrs) hasSize() bool { return a.flags&attrSize != 0 }
func (a attrs) hasTime() bool { return a.flags&attrTimes != 0 }

// rawName is an entry of a folder as the server sent it.
type rawName struct {
	name string
	// long is how long the name was when it is shortened here; otherwise 0.
	fullLen int
	kind    kind
	attrs   attrs
}

// fields reads SFTP's encoding; every method returns what is left.
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

// bytes returns a string where it lies, without a copy.
func (f fields) bytes() (fields, []byte, bool) {
	f, n, ok := f.uint32()
	if !ok || uint64(len(f)) < uint64(n) {
		return nil, nil, false
	}
	return f[n:], f[:n], true
}

// entry reads a name, its long form and its attributes. The name is a copy, and
// a short one: the packet is not kept.
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

// names calls fn for each entry of a NAME packet, and returns how many there were.
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

// status returns the error that a STATUS packet stands for; nil for OK.
func (f fields) status() error {
	f, code, ok := f.uint32()
	if !ok {
		return errUnexpectedReply
	}
	if code == statusOK {
		return nil
	}
	_, message, _ := f.bytes() // version 2 has no words
	return &statusError{code: code, message: string(message[:min(len(message), maxMessageBytes)])}
}
