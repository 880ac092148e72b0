package sftp

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func text(s string) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(s))), s...) }

func number(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

func packet(kind byte, parts ...[]byte) []byte {
	return text(string(append([]byte{kind}, bytes.Join(parts, nil)...)))
}

type noSink struct{ io.Writer }

func (noSink) Close() error { return nil }

// TestWireDispatchesReplies checks that replies reach the client or our request by id,
// for every fragmentation of the stream.
func TestWireDispatchesReplies(t *testing.T) {
	t.Parallel()
	theirs := bytes.Join([][]byte{packet(2, number(3)), packet(103, number(1), text("data")), packet(101, number(2), number(statusEOF))}, nil)
	all := append(number(attrSize|attrOwner|attrMode|attrTimes|attrExtended), make([]byte, 28)...)
	all = append(append(append(all, number(1)...), text("k")...), text("v")...)
	ours := packet(packetName, number(firstID+1), number(2), text("a/b"), text("long"), all, text("c"), text(""), number(attrMode), number(0o100644))
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"unfragmented": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader, "data with EOF": iotest.DataErrReader,
	} {
		stream := append(append(bytes.Clone(theirs), ours...), theirs...)
		var sent bytes.Buffer
		w := newWire(wrap(bytes.NewReader(stream)), noSink{&sent})
		answer := make(chan reply, 1)
		id, err := w.register(answer)
		require.NoError(t, err)
		require.EqualValues(t, firstID+1, id)
		passed, err := io.ReadAll(w)
		require.NoError(t, err, name)
		assert.Equal(t, append(bytes.Clone(theirs), theirs...), passed, name)
		got := <-answer
		require.NoError(t, got.err)
		var names []rawName
		_, err = got.body.names(func(raw rawName) { names = append(names, raw) })
		require.NoError(t, err)
		assert.Equal(t, []string{"a/b", "c"}, []string{names[0].name, names[1].name}, name)
		assert.True(t, names[0].attrs.hasSize())
		assert.False(t, names[1].attrs.hasSize())
		_, err = w.request(packetStat, "/")
		require.ErrorContains(t, err, "has ended", "no request is sent after the end")
	}
}

// TestWireSendsCompletePackets checks that fragments of the client's packets are
// assembled, so that our packets can be sent in between.
func TestWireSendsCompletePackets(t *testing.T) {
	t.Parallel()
	var writes []string
	w := newWire(strings.NewReader(""), noSink{writerFunc(func(p []byte) { writes = append(writes, string(p)) })})
	first, second := packet(3, number(1), text("name")), packet(4, number(2), text("h"))
	both := append(bytes.Clone(first), second...)
	for i := range both {
		_, err := w.Write(both[i : i+1])
		require.NoError(t, err)
	}
	assert.Equal(t, []string{string(first), string(second)}, writes)
}

type writerFunc func(p []byte)

func (w writerFunc) Write(p []byte) (int, error) { w(p); return len(p), nil }

// TestUnsafeNames checks that unsafe names are rejected here, independently of checks
// elsewhere.
func TestUnsafeNames(t *testing.T) {
	t.Parallel()
	for name, message := range map[string]string{
		"": "not a file name", ".": "not a file name", "..": "not a file name", "a/b": "lead out", "/": "lead out", "../x": "lead out",
		"a\x00b": "NUL", strings.Repeat("n", maxNameBytes+1): "1025 bytes",
	} {
		assert.Contains(t, unsafeName(name), message, "%q", name)
	}
	for _, name := range []string{"a", "...", "..a", "a..", " ", "-rf", strings.Repeat("n", maxNameBytes)} {
		assert.Empty(t, unsafeName(name), "%q", name)
	}
	assert.Contains(t, entry{rawName: rawName{name: "short", fullLen: 5000}}.unsafeReason(), "5000 bytes")
	assert.Contains(t, entry{rawName: rawName{name: "short"}, fullPathLen: 5000}.unsafeReason(), "path of 5000 bytes")
}

// TestLongPaths checks that a long path is replaced by a prefix and a digest.
func TestLongPaths(t *testing.T) {
	t.Parallel()
	folder := "/" + strings.Repeat("d", maxPathBytes)
	c := folderContents{names: []rawName{{name: "a"}, {name: "b"}}}
	paths := make(map[string]bool)
	for _, e := range c.entries(folder) {
		assert.Less(t, len(e.path), 300)
		assert.Equal(t, maxPathBytes+3, e.fullPathLen)
		paths[e.path] = true
	}
	assert.Len(t, paths, 2)
}

func TestKindsOfEntries(t *testing.T) {
	t.Parallel()
	mode := func(m uint32) attrs { return attrs{flags: attrMode, Mode: m} }
	for _, test := range []struct {
		attrs attrs
		form  string
		want  kind
	}{
		{mode(0o100644), "", kindRegular},
		{mode(0o040755), "", kindFolder},
		{mode(0o644), "drwxr-xr-x 2 u g 0 Jan 1 00:00 x", kindFolder},
		{mode(0o644), "-rw-r--r-- 2 u g 0 Jan 1 00:00 x", kindRegular},
		{attrs{}, "lrwxrwxrwx 2 u g 0 Jan 1 00:00 x -> y", kindSymlink},
		{attrs{}, "prw-r--r--", kindFIFO},
		{attrs{}, "crw-r--r--", kindDevice},
		{attrs{}, "srw-r--r--", kindSocket},
		{attrs{}, "drwxr-xr-x+", kindFolder},
		{attrs{}, "data-2026.csv", kindUnreported},
		{attrs{}, "d", kindUnreported},
		{mode(0o150000), "", kindUnknown},
		{mode(0o100644), "drwxr-xr-x 2", kindUnreported},
		{mode(0o040755), "-rw-r--r-- 2", kindUnreported},
		{attrs{}, "", kindUnreported},
	} {
		assert.Equal(t, test.want, kindOf(test.attrs, []byte(test.form)), "%o %q", test.attrs.Mode, test.form)
	}
}

func FuzzNames(f *testing.F) {
	f.Add(bytes.Join([][]byte{number(1), text("a/b"), text("drwxr-xr-x 2 u g"), number(attrSize), make([]byte, 8)}, nil))
	f.Add(bytes.Join([][]byte{number(1 << 31), text("x")}, nil))
	f.Add(bytes.Join([][]byte{number(1), text(""), text(""), number(attrExtended), number(1 << 30), text("k")}, nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		kept := 0
		_, _ = fields(data).names(func(raw rawName) {
			kept += len(raw.name)
			if len(raw.name) > maxNameBytes {
				t.Fatalf("a name of %d bytes", len(raw.name))
			}
		})
		if kept > len(data) {
			t.Fatalf("%d bytes of names of %d", kept, len(data))
		}
		_ = fields(data).status()
	})
}

func FuzzGlobLeads(f *testing.F) {
	f.Add("a/{b,c}/*.csv", "a/b/x.csv")
	f.Add("a/**/x", "a/b/c/x")
	f.Add("[a/b]/x", "a/b/x")
	f.Fuzz(func(t *testing.T, glob, file string) {
		if !validGlob(glob) || len(glob) > 100 || len(file) > 200 {
			t.Skip()
		}
		names := strings.Split(file, "/")
		if !matchAny([]string{glob}, file) || len(names) < 2 {
			return
		}
		for n := 1; n < len(names); n++ {
			if !globMayMatchBelow(glob, names[:n]) {
				t.Fatalf("%q matches %q, but %q is not entered", glob, file, names[:n])
			}
		}
	})
}
