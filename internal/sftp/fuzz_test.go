package sftp

import (
	"bytes"
	"encoding/binary"
	"io"
	"path"
	"slices"
	"strings"
	"testing"

	"stevedore/internal/ingest"
)

// FuzzUnsafeName: a name that is accepted is one element of a path: it stays in
// its folder.
func FuzzUnsafeName(f *testing.F) {
	for _, name := range []string{"", ".", "..", "a", "a/b", "../a", "a/..", "\x00", "a\x00b", `..\a`, "\xff", "\u2215", strings.Repeat("a", 5000)} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		reason := unsafeName(name)
		if strings.ContainsAny(reason, "\r\n\x1b\x00") || len(reason) > 500 {
			t.Errorf("%q is refused with %q", name, reason)
		}
		const folder = "/in/a"
		full := path.Join(folder, name)
		if reason == "" && (path.Dir(full) != folder || path.Base(full) != name || strings.ContainsRune(name, 0)) {
			t.Errorf("%q is taken, and leads to %q", name, full)
		}
	})
}

// packetOf is a NAME packet with the entries, as a server sends it.
func packetOf(count uint32, entries ...string) []byte {
	text := func(s string) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(s))), s...) }
	body := append([]byte{packetName, 0, 0, 0, 7}, binary.BigEndian.AppendUint32(nil, count)...)
	for _, name := range entries {
		body = slices.Concat(body, text(name), text("-rw-r--r-- "+name), []byte{0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9})
	}
	return slices.Concat(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body)
}

// FuzzNameTapStream: whatever a server sends, and however it is cut into reads, the same
// names come out, at most as many as are allowed and none longer than was sent; no
// more is kept than one packet.
func FuzzNameTapStream(f *testing.F) {
	f.Add(packetOf(2, "a.csv", "b.csv"), uint16(3))
	f.Add(packetOf(1<<32-1, "a"), uint16(1000))
	f.Add(append(packetOf(1, "x/.."), packetOf(3, ".", "..", "a\nb")...), uint16(1))
	f.Add([]byte{0, 0, 0, 5, 101, 0, 0, 0, 1}, uint16(4))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 104}, uint16(4))
	f.Fuzz(func(t *testing.T, sent []byte, chunk uint16) {
		const limit = 50
		collect := func(chunk int) ([]rawName, bool) {
			tap := &nameTap{source: bytes.NewReader(sent)}
			l := tap.begin(limit, func() {})
			_, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{tap}, make([]byte, chunk))
			if cap(tap.body) > 4*maxPacketBytes {
				t.Errorf("%d bytes are kept", cap(tap.body))
			}
			return l.names, err != nil
		}
		names, failed := collect(1 + int(chunk))
		again, failedToo := collect(1 << 20)
		if failed != failedToo || !slices.Equal(names, again) {
			t.Errorf("in reads of %d bytes: %v %t, in one: %v %t", 1+int(chunk), names, failed, again, failedToo)
		}
		if len(names) > limit+1 {
			t.Errorf("%d names", len(names))
		}
		total := 0
		for _, n := range names {
			total += len(n.name)
		}
		if total > len(sent) {
			t.Errorf("names of %d bytes of the %d that were sent", total, len(sent))
		}
	})
}

// FuzzFilter: globs that are accepted never panic, and a path that is excluded is
// not taken.
func FuzzFilter(f *testing.F) {
	for _, glob := range []string{"**/*.csv", "*", "**", "[a-z]*", "{a,b}/**", `\*`, "[", "a[^", strings.Repeat("*a", 30), strings.Repeat("**/", 30) + "b"} {
		f.Add(glob, "a/b.csv")
	}
	f.Fuzz(func(t *testing.T, glob, name string) {
		if len(glob) > 100 || len(name) > 500 {
			t.Skip("longer ones only take longer")
		}
		server := ingest.Server{Name: "acme", RootPath: "/in", Include: []string{glob}}
		taken, err := newFilter(Config{}.withDefaults(), server)
		server.Include, server.Exclude = nil, []string{glob}
		excluded, err2 := newFilter(Config{}.withDefaults(), server)
		if (err == nil) != (err2 == nil) {
			t.Fatalf("%q: %v, %v", glob, err, err2)
		}
		if err != nil {
			if !ingest.IsKind(err, ingest.KindInvalid) {
				t.Errorf("%q: %v", glob, err)
			}
			return
		}
		full := "/in/" + name
		if taken.takes(full) == excluded.takes(full) {
			t.Errorf("glob %q both includes and excludes %q, or neither", glob, name)
		}
	})
}

// FuzzHostKeys: a line is a key, or refused with a message that fits on one line.
func FuzzHostKeys(f *testing.F) {
	for _, line := range []string{
		"", "#", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1kqgJ2bHj9x3L0G0N1pDq5QvEXqXh1M5YkGq6dX3Y7", "acme.com ssh-rsa AAAA", "ssh-rsa AAAA= a\nb", "ecdsa-sha2-nistp256 AAAA",
		`command="x" ssh-ed25519 AAAA`, "\xff\xfes\x00s\x00h\x00",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		p, err := newPins(ingest.Server{Name: "acme", HostKeys: []string{line}})
		if err != nil {
			if !ingest.IsKind(err, ingest.KindHostKey) || strings.ContainsAny(err.Error(), "\n\r\x1b") || len(err.Error()) > 4<<10 {
				t.Errorf("%q: %q", line, err)
			}
			return
		}
		for _, legacy := range []bool{false, true} {
			p.algorithms(legacy)
		}
	})
}

// FuzzPrivateKey: a key is used, or refused with a message that holds nothing of it.
func FuzzPrivateKey(f *testing.F) {
	for _, key := range []string{
		"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
		"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n",
		"-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n", "PuTTY-User-Key-File-3: ssh-ed25519\r\nEncryption: aes256-cbc\r\n",
		"\ufeff-----BEGIN PRIVATE KEY-----\r\nMC4CAQAwBQYDK2VwBCIEIJ1kqgJ2bHj9x3L0G0N1pDq5QvEXqXh1M5YkGq6dX3Y7\r\n-----END PRIVATE KEY-----\r\n", "ssh-ed25519 AAAA",
	} {
		f.Add([]byte(key))
	}
	f.Fuzz(func(t *testing.T, key []byte) {
		if len(key) == 0 || len(key) > 16<<10 {
			return
		}
		_, err := newLogin(ingest.Server{Name: "acme"}, ingest.Credentials{PrivateKey: key})
		if err == nil {
			return
		}
		message := err.Error()
		if !ingest.IsKind(err, ingest.KindAuth) || strings.ContainsAny(message, "\n\r\x1b") || len(message) > 1000 {
			t.Errorf("%q: %q", key, message)
		}
		if secret := strings.TrimSpace(string(key)); len(secret) > 12 && strings.Contains(message, secret) {
			t.Errorf("the message quotes the key: %q", message)
		}
	})
}
