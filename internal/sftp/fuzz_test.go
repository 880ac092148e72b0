package sftp

import (
	"path"
	"strings"
	"testing"
	"time"

	"stevedore/internal/ingest"
)

// FuzzUnsafeName checks that an accepted name is one path element, so that it stays in
// its folder.
func FuzzUnsafeName(f *testing.F) {
	for _, name := range []string{"", ".", "..", "a", "a/b", "../a", "a/..", "\x00", "a\x00b", `..\a`, "\xff", "\u2215", strings.Repeat("a", 5000)} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		reason := unsafeName(name)
		if strings.ContainsAny(reason, "\r\n\x1b\x00") || len(reason) > 500 {
			t.Errorf("%q is rejected with %q", name, reason)
		}
		const folder = "/in/a"
		full := path.Join(folder, name)
		if reason == "" && (path.Dir(full) != folder || path.Base(full) != name || strings.ContainsRune(name, 0)) {
			t.Errorf("%q is accepted and resolves to %q", name, full)
		}
	})
}

// FuzzFilter checks that valid globs never panic, and that a glob matches the same paths
// as include and as exclude.
func FuzzFilter(f *testing.F) {
	for _, glob := range []string{"**/*.csv", "*", "**", "[a-z]*", "{a,b}/**", `\*`, "[", "a[^", strings.Repeat("*a", 30), strings.Repeat("**/", 30) + "b"} {
		f.Add(glob, "a/b.csv")
	}
	f.Fuzz(func(t *testing.T, glob, name string) {
		if len(glob) > 100 || len(name) > 500 {
			t.Skip("longer inputs are only slower")
		}
		server := ingest.Server{Name: "acme", RootPath: "/in", Include: []string{glob}}
		taken, err := newFilter(server)
		server.Include, server.Exclude = nil, []string{glob}
		excluded, err2 := newFilter(server)
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
		if taken.includes(full) == excluded.includes(full) {
			t.Errorf("glob %q both includes and excludes %q, or neither", glob, name)
		}
	})
}

// FuzzHostKeys checks that a line is parsed as a key or rejected with a one-line message.
func FuzzHostKeys(f *testing.F) {
	for _, line := range []string{
		"", "#", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1kqgJ2bHj9x3L0G0N1pDq5QvEXqXh1M5YkGq6dX3Y7", "acme.com ssh-rsa AAAA", "ssh-rsa AAAA= a\nb", "ecdsa-sha2-nistp256 AAAA",
		`command="x" ssh-ed25519 AAAA`, "\xff\xfes\x00s\x00h\x00",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		p, err := newPins(ingest.Server{Name: "acme", HostKeys: []string{line}}, time.Now())
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

// FuzzPrivateKey checks that a key is accepted, or rejected with a message that does not
// quote it.
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
		_, err := newLogin(ingest.Server{Name: "acme"}, ingest.Credentials{PrivateKey: key}, nil)
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
