package activities_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
)

// modes are the steps that compare the partner's checksum, by transfer mode.
var modes = map[string]func(t *testing.T, b *directBench, f ingest.File) string{
	"memory": func(t *testing.T, b *directBench, f ingest.File) string {
		return b.run(t, activities.NameIngestInMemory, activities.IngestInMemoryInput{FileUUID: f.UUID, ServerUUID: f.ServerUUID, Size: f.Size})
	},
	"staged": func(t *testing.T, b *directBench, f ingest.File) string {
		if b.status(t, f) == ingest.StatusReady {
			require.Empty(t, b.download(t, f))
		}
		return b.verify(t, f)
	},
	"direct": func(t *testing.T, b *directBench, f ingest.File) string { return b.transfer(t, f) },
}

// redeliver ingests a file and replaces it, with the old checksum file in place.
func (b *directBench) redeliver(t *testing.T, content string, seconds int) ingest.File {
	t.Helper()
	b.write(t, "a.bin", "monday", 0)
	b.write(t, "a.bin.sha256", sandbox.Digest([]byte("monday")), 1)
	require.Empty(t, b.list(t, false))
	b.ingest(t, b.File(t, b.sshd.Path("a.bin"), func(f ingest.File) bool { return f.Status == ingest.StatusReady }))
	b.write(t, "a.bin", content, seconds)
	require.Empty(t, b.list(t, false))
	return b.File(t, b.sshd.Path("a.bin"), func(f ingest.File) bool { return f.Status == ingest.StatusReady })
}

// TestAMismatchIsProvisional: in every mode, a checksum file of an earlier version never
// fails the file; a current one does after the grace period.
func TestAMismatchIsProvisional(t *testing.T) {
	t.Parallel()
	for name, compare := range modes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newDirectBench(t)
			content := string(sandbox.Random(2*directPart + 5))
			if name == "memory" {
				content = content[:5000]
			}
			f := b.redeliver(t, content, 60)
			assert.True(t, f.SidecarStale)
			b.acts.ChecksumWait = time.Hour
			for range 2 {
				require.Equal(t, string(ingest.KindTransient), compare(t, b, f))
				now := b.file(t, f)
				assert.Equal(t, ingest.KindHashMismatch, now.ErrorKind)
				assert.Contains(t, now.ErrorMessage, "does not match")
				assert.Contains(t, now.ErrorMessage, "checked again until")
				assert.False(t, now.Status.Terminal())
			}
			sent := b.parts.sent.Load()
			b.write(t, "a.bin.sha256", sandbox.Digest([]byte(content)), 61)
			require.Empty(t, compare(t, b, f))
			assert.Equal(t, "a.bin.sha256", sandbox.Detail(b.Events(t, f.UUID), ingest.EventVerified, "source"))
			assert.Empty(t, b.file(t, f).ErrorMessage)
			assert.Equal(t, sent, b.parts.sent.Load(), "no byte is transferred again")

			f = b.replace(t, "wednesday", -60) // older than the recorded checksum file
			b.acts.ChecksumWait = 0
			require.Empty(t, compare(t, b, f))
			assert.Contains(t, sandbox.Detail(b.Events(t, f.UUID), ingest.EventVerified, "source"), "transfer (not verified: a.bin.sha256 is of an earlier version")

			f = b.replace(t, "thursday", 100)
			b.write(t, "a.bin.sha256", sandbox.Digest([]byte("friday")), 101)
			b.acts.ChecksumWait = time.Hour
			require.Equal(t, string(ingest.KindTransient), compare(t, b, f))
			b.acts.ChecksumWait = 0
			require.Equal(t, string(ingest.KindHashMismatch), compare(t, b, f))
			b.set(t, func(s *ingest.Server) { s.SidecarWait = time.Hour })
			if name != "staged" { // the staged mode discards its bytes
				require.Equal(t, string(ingest.KindTransient), compare(t, b, f), "the server's own wait is longer")
			}
		})
	}
}

// replace replaces the file and lists it.
func (b *directBench) replace(t *testing.T, content string, seconds int) ingest.File {
	t.Helper()
	b.write(t, "a.bin", content, seconds)
	require.Empty(t, b.list(t, false))
	return b.File(t, b.sshd.Path("a.bin"), func(f ingest.File) bool { return f.Status == ingest.StatusReady })
}

// TestUnusableChecksumFilesAreRecorded: the file is not verified, and the ledger has the
// reason.
func TestUnusableChecksumFilesAreRecorded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file, text, why string
		premature       bool
	}{
		"empty":       {"a.bin.sha256", "", "a.bin.sha256 is empty", true},
		"not listed":  {"SHA256SUMS", sandbox.Digest(nil) + "  b.bin\n", "SHA256SUMS does not list it", false},
		"unreadable":  {"SHA256SUMS", "xyz  a.bin\n", "SHA256SUMS has no readable SHA-256 digest of the file", false},
		"another":     {"a.bin.sha256", sandbox.Digest(nil) + "  b.bin\n", "a.bin.sha256 lists another file", false},
		"unsupported": {"a.bin.sfv", "a.bin DEADBEEF\n", "a.bin.sfv is of an algorithm that is not supported", false},
		"two": {"SHA256SUMS", sandbox.Digest(nil) + "  a.bin\n" + sandbox.Digest([]byte("content")) + "  a.bin\n",
			"SHA256SUMS has two different SHA-256 digests for the file", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for mode, compare := range modes {
				b := newDirectBench(t)
				b.write(t, "a.bin", "content", 0)
				b.write(t, c.file, c.text, 1)
				require.Empty(t, b.list(t, false))
				f := b.File(t, b.sshd.Path("a.bin"), func(f ingest.File) bool { return f.Status == ingest.StatusReady })
				if b.acts.ChecksumWait = time.Hour; c.premature {
					require.Equal(t, string(ingest.KindTransient), compare(t, b, f), mode)
					b.acts.ChecksumWait = 0
				}
				require.Empty(t, compare(t, b, f), mode)
				assert.Equal(t, "transfer (not verified: "+c.why+")", sandbox.Detail(b.Events(t, f.UUID), ingest.EventVerified, "source"), mode)
				if testing.Short() || name != "empty" {
					break
				}
			}
		})
	}
}

func TestAnUnreadableChecksumFileDoesNotFailTheFile(t *testing.T) {
	t.Parallel()
	b := newDirectBench(t)
	b.write(t, "a.bin", "content", 0)
	b.write(t, "a.bin.sha256", sandbox.Digest(nil), 1)
	require.Empty(t, b.list(t, false))
	f := b.File(t, b.sshd.Path("a.bin"), func(f ingest.File) bool { return f.Status == ingest.StatusReady })
	b.hookSources().refuse = func(op, path string) error {
		if path == b.sshd.Path("a.bin.sha256") {
			return ingest.Errorf(ingest.KindPermission, "it is locked")
		}
		return nil
	}
	b.acts.ChecksumWait = time.Hour
	require.Equal(t, string(ingest.KindTransient), b.transfer(t, f))
	b.acts.ChecksumWait = 0
	require.Empty(t, b.transfer(t, f))
	assert.Equal(t, "transfer (not verified: a.bin.sha256 cannot be read: it is locked)", sandbox.Detail(b.Events(t, f.UUID), ingest.EventVerified, "source"))
}

// TestAPermissionErrorIsProvisional: a writer may have the file open.
func TestAPermissionErrorIsProvisional(t *testing.T) {
	t.Parallel()
	for name, compare := range modes {
		if name == "staged" {
			compare = func(t *testing.T, b *directBench, f ingest.File) string { return b.download(t, f) }
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newDirectBench(t)
			f := b.ready(t, "a.bin", []byte("content"))
			m := b.hookSources()
			m.refuse = func(string, string) error { return ingest.Errorf(ingest.KindPermission, "not allowed") }
			b.acts.ChecksumWait = time.Hour
			require.Equal(t, string(ingest.KindTransient), compare(t, b, f))
			assert.Equal(t, ingest.KindPermission, b.file(t, f).ErrorKind)
			assert.Contains(t, b.file(t, f).ErrorMessage, "not allowed; it may be locked or still being written: retried until")
			b.acts.ChecksumWait = 0
			require.Equal(t, string(ingest.KindPermission), compare(t, b, f))
			m.refuse = nil
			require.Empty(t, compare(t, b, f))
		})
	}
}
