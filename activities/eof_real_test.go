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

// oddReady writes files to an odd server and lists it: they are ready.
func (b *bench) oddReady(odd *services.FaultySFTP, name string, content []byte) ingest.File {
	b.T.Helper()
	odd.Write(name, content)
	server, err := b.Store.ServerByName(b.Ctx, "odd")
	require.NoError(b.T, err)
	require.Empty(b.T, b.run(activities.NameListServerFiles, activities.ListServerFilesInput{ServerUUID: server.UUID, Source: "manual"}))
	return b.File(odd.Path(name), func(f ingest.File) bool { return f.Status == ingest.StatusReady })
}

// TestAFileLongerThanItsServerSays is not announced cut short: a server that counts
// in 32 bits, or a gateway that shows the size of an earlier version, states too
// little in listings and looks alike. In each mode, of one part and of several.
func TestAFileLongerThanItsServerSays(t *testing.T) {
	t.Parallel()
	for mode := range (&directBench{}).fetches() {
		for _, stated := range []int64{0, 1000, 2*directPart + 1000} {
			t.Run(mode, func(t *testing.T) {
				t.Parallel()
				b := newDirectBench(t)
				odd := b.AddFaulty("odd", func(s *ingest.Server) { s.Settle = 0 })
				odd.SetFaults(services.SFTPFaults{Size: func(string, int64) int64 { return stated }})
				f := b.oddReady(odd, "a.bin", sandbox.Random(int(stated)+5000))
				require.Equal(t, stated, f.Size)
				require.Equal(t, string(ingest.KindChanged), b.fetches()[mode](f))
				b.requireNothingVisible(f)
				odd.SetFaults(services.SFTPFaults{Read: func(content, buf []byte, off int64) (int, error) {
					return services.CorrectRead(content[:stated], buf, off)
				}, Size: func(string, int64) int64 { return stated }})
				require.Empty(t, b.fetches()[mode](f), "it ends where the server says")
			})
		}
	}
}

// TestTheEndInTheWordsOfServers: whatever a server answers behind the last byte,
// other than one more, is the end.
func TestTheEndInTheWordsOfServers(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]error{
		"failure": pkgsftp.ErrSSHFxFailure, "no such file": pkgsftp.ErrSSHFxNoSuchFile, "not allowed": pkgsftp.ErrSSHFxPermissionDenied,
		"unsupported": pkgsftp.ErrSSHFxOpUnsupported, "bad message": pkgsftp.ErrSSHFxBadMessage, "no byte": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newDirectBench(t)
			odd := b.AddFaulty("odd", func(s *ingest.Server) { s.Settle = 0 })
			var asked atomic.Int64
			odd.SetFaults(services.SFTPFaults{Read: func(content, buf []byte, off int64) (int, error) {
				if off >= int64(len(content)) {
					asked.Add(1)
					return 0, end
				}
				return services.CorrectRead(content, buf, off)
			}})
			var n int64
			for mode, fetch := range b.fetches() {
				for file, size := range map[string]int{"-empty": 0, "-large": 100_000} {
					require.Empty(t, fetch(b.oddReady(odd, mode+file, sandbox.Random(size))), mode)
					n++
				}
			}
			assert.Equal(t, n, asked.Load(), "once a file")
			server, err := b.Store.ServerByName(b.Ctx, "odd")
			require.NoError(t, err)
			assert.Zero(t, server.ReadWindow, "that says nothing of how many reads it bears")
		})
	}
}

// TestAReadOnceServerThatStatesTooLittle: its file may be gone now, so somebody has
// to know.
func TestAReadOnceServerThatStatesTooLittle(t *testing.T) {
	t.Parallel()
	b := newDirectBench(t)
	odd := b.AddFaulty("odd", func(s *ingest.Server) { s.Settle, s.ReadOnce = 0, true })
	odd.SetFaults(services.SFTPFaults{Size: func(string, int64) int64 { return 1000 }})
	require.Equal(t, string(ingest.KindSourceGone), b.download(b.oddReady(odd, "a.bin", sandbox.Random(5000))))
}

// TestARefusalInTheMiddleOfAFileMayPass: the server let the file be opened, so what
// it refuses is locked, or a quota is used up. It is tried again for as long as one
// that may not be opened, and in any case more than once.
func TestARefusalInTheMiddleOfAFileMayPass(t *testing.T) {
	t.Parallel()
	for mode := range (&directBench{}).fetches() {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			b := newDirectBench(t)
			odd := b.AddFaulty("odd", func(s *ingest.Server) { s.Settle = 0 })
			f := b.oddReady(odd, "a.bin", sandbox.Random(200_000))
			odd.SetFaults(services.SFTPFaults{Read: func(content, buf []byte, off int64) (int, error) {
				if off >= 32<<10 {
					return 0, pkgsftp.ErrSSHFxPermissionDenied
				}
				return services.CorrectRead(content, buf, off)
			}})
			for wait, said := range map[time.Duration]string{time.Hour: "retried until", 0: "retried, 9 attempts left"} {
				b.acts.ChecksumWait = wait
				require.Equal(t, string(ingest.KindTransient), b.fetches()[mode](f))
				now := b.file(f)
				assert.Equal(t, ingest.KindPermission, now.ErrorKind)
				assert.Contains(t, now.ErrorMessage, "let user u open /in/a.bin but refused to read at byte ")
				assert.Contains(t, now.ErrorMessage, said)
			}
			odd.SetFaults(services.SFTPFaults{})
			require.Empty(t, b.fetches()[mode](f))
		})
	}
}
