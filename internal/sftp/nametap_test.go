package sftp

import (
	"encoding/binary"
	"io"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func text(s string) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(s))), s...) }

func number(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

func packet(kind byte, parts ...[]byte) []byte {
	body := []byte{kind}
	for _, part := range parts {
		body = append(body, part...)
	}
	return text(string(body))
}

// stream is a data packet, a listing with every attribute, and an end.
func stream() []byte {
	all := append(number(attrSize|attrOwner|attrMode|attrTimes|attrExtended), make([]byte, 28)...)
	all = append(append(append(all, number(1)...), text("k")...), text("v")...)
	s := packet(103, number(1), text("\x00\x00\x00\x05\x68 not names"))
	s = append(s, packet(packetName, number(2), number(3), text("."), text(""), number(0), text("a/b"), text("long"), all, text("c"), text(""), number(attrMode), number(0o100644))...)
	return append(s, packet(101, number(3))...)
}

func TestNameTapSeesEveryName(t *testing.T) {
	t.Parallel()
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"at once":      func(r io.Reader) io.Reader { return r },
		"by the byte":  iotest.OneByteReader,
		"with its end": iotest.DataErrReader,
	} {
		rest, source := io.Pipe()
		go func() { _, _ = source.Write(stream()); _ = source.Close() }()
		tap, more := &nameTap{source: wrap(rest)}, 0
		seen := tap.begin(2, func() { more++ })
		passed, err := io.ReadAll(tap)
		require.NoError(t, err, name)
		assert.Equal(t, stream(), passed, name)
		assert.Equal(t, []rawName{{name: "a/b", sized: true}, {name: "c"}}, seen.names, name)
		assert.Equal(t, 1, more, name)
	}
}

func FuzzNameTap(f *testing.F) {
	f.Add(stream(), 2)
	f.Add(packet(packetName, number(1), number(1<<31)), 1)
	f.Fuzz(func(t *testing.T, data []byte, limit int) {
		tap := &nameTap{}
		seen := tap.begin(limit, func() {})
		if tap.follow(data) == nil && len(seen.names) > max(limit, 0) {
			t.Fatalf("%d names, limit %d", len(seen.names), limit)
		}
	})
}
