package activities_test

import (
	"sync/atomic"
	"testing"
	"time"

	pkgsftp "github.com/pkg/sftp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
	"stevedore/internal/test/services"
)

// oddReady writes a file to an odd server and lists it, so that the file is ready.
func (b *bench) oddReady(t *testing.T, odd *services.FaultySFTP, name string, content []byte) ingest.File {
	t.Helper()
	odd.Write(name, content)
	server, err := b.Store.ServerByName(b.Context(t), "odd")
	require.NoError(t, err)
	require.Empty(t, b.run(t, activities.NameListServerFiles, activities.ListServerFilesInput{ServerUUID: server.UUID, Source: "manual"}))
	return b.File(t, odd.Path(name), func(f ingest.File) bool { return f.Status == ingest.StatusReady })
}

// TestAFileLongerThanStated is not ingested truncated. Servers that count in 32 bits, and
// gateways that return the size of an earlier version, state too small a size.
func TestAFileLongerThanStated(t *testing.T) {
	t.Parallel()
	for mode := range (&directBench{}).fetchers() {
		for _, stated := range []int64{0, 1000, 2*directPart + 1000} {
			t.Run(mode, func(t *testing.T) {
				t.Parallel()
				b := newDirectBench(t)
				odd := b.AddFaulty(t, "odd", func(s *ingest.Server) { s.Settle = 0 })
				odd.SetFaults(services.SFTPFaults{Size: func(string, int64) int64 { return stated }})
				f := b.oddReady(t, odd, "a.bin", sandbox.Random(int(stated)+5000))
				require.Equal(t, stated, f.Size)
				require.Equal(t, string(ingest.KindChanged), b.fetchers()[mode](t, f))
				b.requireNothingVisible(t, f)
				odd.SetFaults(services.SFTPFaults{Read: func(content, buf []byte, off int64) (int, error) {
					return services.CorrectRead(content[:stated], buf, off)
				}, Size: func(string, int64) int64 { return stated }})
				require.Empty(t, b.fetchers()[mode](t, f), "the file ends at the stated size")
			})
		}
	}
}

// TestAnswersAfterTheEndOfAFile: any answer without bytes after the last byte means the end.
func TestAnswersAfterTheEndOfAFile(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]error{
		"failure": pkgsftp.ErrSSHFxFailure, "no such file": pkgsftp.ErrSSHFxNoSuchFile, "not allowed": pkgsftp.ErrSSHFxPermissionDenied,
		"unsupported": pkgsftp.ErrSSHFxOpUnsupported, "bad message": pkgsftp.ErrSSHFxBadMessage, "no byte": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newDirectBench(t)
			odd := b.AddFaulty(t, "odd", func(s *ingest.Server) { s.Settle = 0 })
			var requests atomic.Int64
			odd.SetFaults(services.SFTPFaults{Read: func(content, buf []byte, off int64) (int, error) {
				if off >= int64(len(content)) {
					requests.Add(1)
					return 0, end
				}
				return services.CorrectRead(content, buf, off)
			}})
			var n int64
			for mode, fetch := range b.fetchers() {
				for file, size := range map[string]int{"-empty": 0, "-large": 100_000} {
					require.Empty(t, fetch(t, b.oddReady(t, odd, mode+file, sandbox.Random(size))), mode)
					n++
				}
			}
			assert.Equal(t, n, requests.Load(), "one request per file")
			server, err := b.Store.ServerByName(b.Context(t), "odd")
			require.NoError(t, err)
			assert.Zero(t, server.ReadWindow, "the answers do not reduce the outstanding reads")
		})
	}
}

// TestAReadOnceServerThatStatesTooLittle: the server may have removed the file, so it needs
// attention.
func TestAReadOnceServerThatStatesTooLittle(t *testing.T) {
	t.Parallel()
	b := newDirectBench(t)
	odd := b.AddFaulty(t, "odd", func(s *ingest.Server) { s.Settle, s.ReadOnce = 0, true })
	odd.SetFaults(services.SFTPFaults{Size: func(string, int64) int64 { return 1000 }})
	require.Equal(t, string(ingest.KindSourceGone), b.download(t, b.oddReady(t, odd, "a.bin", sandbox.Random(5000))))
}

// TestARefusalWithinAFileIsRetried: a file that could be opened is locked, or a quota is used
// up. It is retried during the grace period, and several times in any case.
func TestARefusalWithinAFileIsRetried(t *testing.T) {
	t.Parallel()
	for mode := range (&directBench{}).fetchers() {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			b := newDirectBench(t)
			odd := b.AddFaulty(t, "odd", func(s *ingest.Server) { s.Settle = 0 })
			f := b.oddReady(t, odd, "a.bin", sandbox.Random(200_000))
			odd.SetFaults(services.SFTPFaults{Read: func(content, buf []byte, off int64) (int, error) {
				if off >= 32<<10 {
					return 0, pkgsftp.ErrSSHFxPermissionDenied
				}
				return services.CorrectRead(content, buf, off)
			}})
			for wait, message := range map[time.Duration]string{time.Hour: "retried until", 0: "retried, 9 attempts left"} {
				b.acts.ChecksumWait = wait
				require.Equal(t, string(ingest.KindTransient), b.fetchers()[mode](t, f))
				now := b.file(t, f)
				assert.Equal(t, ingest.KindPermission, now.ErrorKind)
				assert.Contains(t, now.ErrorMessage, "let user \"u\" open /in/a.bin but refused to read at byte ")
				assert.Contains(t, now.ErrorMessage, message)
			}
			odd.SetFaults(services.SFTPFaults{})
			require.Empty(t, b.fetchers()[mode](t, f))
		})
	}
}
