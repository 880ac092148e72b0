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
var modes = map[string]func(b *directBench, f ingest.File) string{
	"memory": func(b *directBench, f ingest.File) string {
		return b.run(activities.NameIngestInMemory, activities.IngestInMemoryInput{FileUUID: f.UUID, ServerUUID: f.ServerUUID, Size: f.Size})
	},
	"staged": func(b *directBench, f ingest.File) string {
		if b.status(f) == ingest.StatusReady {
			require.Empty(b.T, b.download(f))
		}
		return b.verify(f)
	},
	"direct": func(b *directBench, f ingest.File) string { return b.transfer(f) },
}

// redeliver ingests a file and replaces it, with the old checksum file in place.
func (b *directBench) redeliver(content string, seconds int) ingest.File {
	b.T.Helper()
	b.write("a.bin", "monday", 0)
	b.write("a.bin.sha256", sandbox.Digest([]byte("monday")), 1)
	require.Empty(b.T, b.list(false))
	b.ingest(b.File(b.sshd.Path("a.bin"), func(f ingest.File) bool { return f.Status == ingest.StatusReady }))
	b.write("a.bin", content, seconds)
	require.Empty(b.T, b.list(false))
	return b.File(b.sshd.Path("a.bin"), func(f ingest.File) bool { return f.Status == ingest.StatusReady })
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
			f := b.redeliver(content, 60)
			assert.True(t, f.SidecarStale)
			b.acts.ChecksumWait = time.Hour
			for range 2 {
				require.Equal(t, string(ingest.KindTransient), compare(b, f))
				now := b.file(f)
				assert.Equal(t, ingest.KindHashMismatch, now.ErrorKind)
				assert.Contains(t, now.ErrorMessage, "does not match")
				assert.Contains(t, now.ErrorMessage, "checked again until")
				assert.False(t, now.Status.Terminal())
			}
			sent := b.parts.sent.Load()
			b.write("a.bin.sha256", sandbox.Digest([]byte(content)), 61)
			require.Empty(t, compare(b, f))
			assert.Equal(t, "a.bin.sha256", sandbox.Detail(b.Events(f.UUID), ingest.EventVerified, "source"))
			assert.Empty(t, b.file(f).ErrorMessage)
			assert.Equal(t, sent, b.parts.sent.Load(), "no byte is transferred again")

			f = b.replace("wednesday", -60) // older than the recorded checksum file
			b.acts.ChecksumWait = 0
			require.Empty(t, compare(b, f))
			assert.Contains(t, sandbox.Detail(b.Events(f.UUID), ingest.EventVerified, "source"), "transfer (not verified: a.bin.sha256 is of an earlier version")

			f = b.replace("thursday", 100)
			b.write("a.bin.sha256", sandbox.Digest([]byte("friday")), 101)
			b.acts.ChecksumWait = time.Hour
			require.Equal(t, string(ingest.KindTransient), compare(b, f))
			b.acts.ChecksumWait = 0
			require.Equal(t, string(ingest.KindHashMismatch), compare(b, f))
			b.set(func(s *ingest.Server) { s.SidecarWait = time.Hour })
			if name != "staged" { // the staged mode discards its bytes
				require.Equal(t, string(ingest.KindTransient), compare(b, f), "the server's own wait is longer")
			}
		})
	}
}

// replace replaces the file and lists it.
func (b *directBench) replace(content string, seconds int) ingest.File {
	b.T.Helper()
	b.write("a.bin", content, seconds)
	require.Empty(b.T, b.list(false))
	return b.File(b.sshd.Path("a.bin"), func(f ingest.File) bool { return f.Status == ingest.StatusReady })
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
				b.write("a.bin", "content", 0)
				b.write(c.file, c.text, 1)
				require.Empty(t, b.list(false))
				f := b.File(b.sshd.Path("a.bin"), func(f ingest.File) bool { return f.Status == ingest.StatusReady })
				if b.acts.ChecksumWait = time.Hour; c.premature {
					require.Equal(t, string(ingest.KindTransient), compare(b, f), mode)
					b.acts.ChecksumWait = 0
				}
				require.Empty(t, compare(b, f), mode)
				assert.Equal(t, "transfer (not verified: "+c.why+")", sandbox.Detail(b.Events(f.UUID), ingest.EventVerified, "source"), mode)
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
	b.write("a.bin", "content", 0)
	b.write("a.bin.sha256", sandbox.Digest(nil), 1)
	require.Empty(t, b.list(false))
	f := b.File(b.sshd.Path("a.bin"), func(f ingest.File) bool { return f.Status == ingest.StatusReady })
	b.hookSources().refuse = func(op, path string) error {
		if path == b.sshd.Path("a.bin.sha256") {
			return ingest.Errorf(ingest.KindPermission, "it is locked")
		}
		return nil
	}
	b.acts.ChecksumWait = time.Hour
	require.Equal(t, string(ingest.KindTransient), b.transfer(f))
	b.acts.ChecksumWait = 0
	require.Empty(t, b.transfer(f))
	assert.Equal(t, "transfer (not verified: a.bin.sha256 cannot be read: it is locked)", sandbox.Detail(b.Events(f.UUID), ingest.EventVerified, "source"))
}

// TestAPermissionErrorIsProvisional: a writer may have the file open.
func TestAPermissionErrorIsProvisional(t *testing.T) {
	t.Parallel()
	for name, compare := range modes {
		if name == "staged" {
			compare = func(b *directBench, f ingest.File) string { return b.download(f) }
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newDirectBench(t)
			f := b.ready("a.bin", []byte("content"))
			m := b.hookSources()
			m.refuse = func(string, string) error { return ingest.Errorf(ingest.KindPermission, "not allowed") }
			b.acts.ChecksumWait = time.Hour
			require.Equal(t, string(ingest.KindTransient), compare(b, f))
			assert.Equal(t, ingest.KindPermission, b.file(f).ErrorKind)
			assert.Contains(t, b.file(f).ErrorMessage, "not allowed; it may be locked or still being written: retried until")
			b.acts.ChecksumWait = 0
			require.Equal(t, string(ingest.KindPermission), compare(b, f))
			m.refuse = nil
			require.Empty(t, compare(b, f))
		})
	}
}
