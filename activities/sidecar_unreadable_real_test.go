package activities_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	pkgsftp "github.com/pkg/sftp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
	"stevedore/internal/test/services"
)

// oddSidecar returns a bench with a file on an odd server and its checksum file of 64 bytes.
func oddSidecar(t *testing.T) (*directBench, *services.FaultySFTP, ingest.File) {
	t.Helper()
	b := newDirectBench(t)
	odd := b.AddFaulty(t, "odd", func(s *ingest.Server) { s.Settle, s.AnswerTimeout = 0, ingest.Duration(time.Second) })
	server, err := b.Store.ServerByName(b.Context(t), "odd")
	require.NoError(t, err)
	b.server = server
	content := sandbox.Random(100)
	odd.Write("a.bin", content)
	odd.Write("a.bin.sha256", []byte(sandbox.Digest(content)))
	require.Empty(t, b.list(t, false))
	return b, odd, b.File(t, odd.Path("a.bin"), func(f ingest.File) bool { return f.Status == ingest.StatusReady })
}

// TestAnUnreadableChecksumFileIsSkipped: each attempt records the reason, and after the last
// one the file is ingested as not verified.
func TestAnUnreadableChecksumFileIsSkipped(t *testing.T) {
	t.Parallel()
	for fault, be := range map[string]func(end <-chan struct{}) services.SFTPFaults{
		"hangs": func(end <-chan struct{}) services.SFTPFaults {
			return services.SFTPFaults{Read: func(content, buf []byte, off int64) (int, error) {
				if len(content) == 64 {
					<-end
				}
				return services.CorrectRead(content, buf, off)
			}}
		},
		"cuts": func(<-chan struct{}) services.SFTPFaults {
			return services.SFTPFaults{Wait: func(path string, _ <-chan struct{}) bool { return strings.HasSuffix(path, ".sha256") }}
		},
	} {
		for name, compare := range modes {
			t.Run(fault+" "+name, func(t *testing.T) {
				t.Parallel()
				b, odd, f := oddSidecar(t)
				end := make(chan struct{})
				defer close(end)
				odd.SetFaults(be(end))
				b.acts.ChecksumWait = 0
				for try := range 3 {
					require.Equal(t, string(ingest.KindTransient), compare(t, b, f))
					now := b.file(t, f)
					assert.Contains(t, now.ErrorMessage, "the checksum file a.bin.sha256 cannot be read: ")
					assert.Regexp(t, "server odd |received no data for", now.ErrorMessage, "the cause")
					assert.Contains(t, now.ErrorMessage, "ask the partner")
					assert.Contains(t, now.ErrorMessage, fmt.Sprintf("attempt %d of 4", try+1))
				}
				require.Empty(t, compare(t, b, f))
				assert.Contains(t, sandbox.Detail(b.Events(t, f.UUID), ingest.EventVerified, "source"), "transfer (not verified: a.bin.sha256 cannot be read: ")
				assert.Empty(t, b.file(t, f).ErrorMessage)
			})
		}
	}
}

// TestADeniedChecksumFileHasItsCause: the permission is the cause, not a mismatch, while the
// file waits for it.
func TestADeniedChecksumFileHasItsCause(t *testing.T) {
	t.Parallel()
	for name, compare := range modes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, odd, f := oddSidecar(t)
			odd.SetFaults(services.SFTPFaults{Open: func(path string) error {
				if strings.HasSuffix(path, ".sha256") {
					return pkgsftp.ErrSSHFxPermissionDenied
				}
				return nil
			}})
			b.acts.ChecksumWait = time.Hour
			require.Equal(t, string(ingest.KindTransient), compare(t, b, f))
			now := b.file(t, f)
			assert.Equal(t, ingest.KindPermission, now.ErrorKind)
			assert.Contains(t, now.ErrorMessage, "the checksum file a.bin.sha256 of "+odd.Path("a.bin")+" cannot be read: server odd does not let user")
			assert.Contains(t, now.ErrorMessage, "checked again until")
		})
	}
}

// TestASlowChecksumFileIsRead: reading it takes longer than the answer timeout.
func TestASlowChecksumFileIsRead(t *testing.T) {
	t.Parallel()
	b, odd, f := oddSidecar(t)
	odd.SetFaults(services.SFTPFaults{Read: func(content, buf []byte, off int64) (int, error) {
		if len(content) == 64 && off < 64 {
			<-time.After(30 * time.Millisecond)
			buf = buf[:1]
		}
		return services.CorrectRead(content, buf, off)
	}})
	require.Empty(t, b.download(t, f))
	var beats atomic.Int64
	b.env.SetOnActivityHeartbeatListener(func(*activity.Info, converter.EncodedValues) { beats.Add(1) })
	require.Equal(t, string(ingest.KindTransient), b.verify(t, f))
	require.Empty(t, b.verify(t, f))
	assert.Positive(t, beats.Load(), "an attempt without heartbeats times out after 30 s")
	assert.Equal(t, "a.bin.sha256", sandbox.Detail(b.Events(t, f.UUID), ingest.EventVerified, "source"))
}

// TestAFileThatWaitsForItsChecksumHasNoSlot: its bytes are staged, and other files of its
// server may use the slot.
func TestAFileThatWaitsForItsChecksumHasNoSlot(t *testing.T) {
	t.Parallel()
	b, odd, f := oddSidecar(t)
	odd.SetFaults(services.SFTPFaults{Wait: func(path string, _ <-chan struct{}) bool { return strings.HasSuffix(path, ".sha256") }})
	fence, err := b.Store.RegisterDispatcher(b.Context(t), b.server.UUID)
	require.NoError(t, err)
	got, err := b.Store.ReserveSlots(b.Context(t), b.server.UUID, fence, 1)
	require.NoError(t, err)
	require.Empty(t, b.run(t, activities.NameDownload, activities.DownloadInput{FileUUID: f.UUID, Slot: got.Slots[0].Number}))
	require.Equal(t, string(ingest.KindTransient), b.verify(t, f))
	got, err = b.Store.ReserveSlots(b.Context(t), b.server.UUID, fence, 0)
	require.NoError(t, err)
	assert.Zero(t, got.InUse)
}
