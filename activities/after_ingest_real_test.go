package activities_test

import (
	"context"
	"errors"
	"os"
	"path"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
)

// hookedSources are sources with hooks on their sessions. Hooks may be nil.
type hookedSources struct {
	activities.Sources
	// onStat is called after each stat; refuse returns the result of each removal, move
	// and opening, if it is an error.
	onStat func(path string)
	refuse func(op, path string) error
	// onOpen and onClose are called after a file was opened or closed.
	onOpen, onClose func(path string)
	// hideOpen hides the stats of open files, as if the server did not support them.
	hideOpen bool
	calls    atomic.Int64
}

func (m *hookedSources) Open(ctx context.Context, server ingest.Server) (activities.Source, error) {
	source, err := m.Sources.Open(ctx, server)
	return hookedSource{source, m}, err
}

type hookedSource struct {
	activities.Source
	*hookedSources
}

func (m hookedSource) Stat(ctx context.Context, path string) (ingest.Observation, error) {
	seen, err := m.Source.Stat(ctx, path)
	if m.onStat != nil {
		m.onStat(path)
	}
	return seen, err
}

func (m hookedSource) refused(op, path string) error {
	if m.refuse == nil {
		return nil
	}
	m.calls.Add(1)
	return m.refuse(op, path)
}

func (m hookedSource) Remove(ctx context.Context, path string) error {
	if err := m.refused("remove", path); err != nil {
		return unlessPretended(err)
	}
	return m.Source.Remove(ctx, path)
}

func (m hookedSource) Rename(ctx context.Context, from, to string) error {
	if err := m.refused("move", from); err != nil {
		return unlessPretended(err)
	}
	return m.Source.Rename(ctx, from, to)
}

// errPretended makes a removal or move succeed without effect.
var errPretended = errors.New("pretended success")

func unlessPretended(err error) error {
	if errors.Is(err, errPretended) {
		return nil
	}
	return err
}

func (m hookedSource) OpenFile(ctx context.Context, path string) (activities.RemoteFile, error) {
	if err := m.refused("open", path); err != nil {
		return nil, err
	}
	file, err := m.Source.OpenFile(ctx, path)
	if err == nil && m.onOpen != nil {
		m.onOpen(path)
	}
	if err == nil && m.onClose != nil {
		file = closingFile{file, func() { m.onClose(path) }}
	}
	if err == nil && m.hideOpen {
		file = unseenFile{file}
	}
	return file, err
}

type closingFile struct {
	activities.RemoteFile
	closed func()
}

func (f closingFile) Close() error {
	err := f.RemoteFile.Close()
	f.closed()
	return err
}

type unseenFile struct{ activities.RemoteFile }

func (unseenFile) Opened() (seen ingest.Observation, ok bool) { return seen, false }

func (b *bench) hookSources() *hookedSources {
	m := &hookedSources{Sources: b.acts.Sources}
	b.acts.Sources = m
	return m
}

// set changes the settings of the server.
func (b *bench) set(t *testing.T, change func(*ingest.Server)) {
	t.Helper()
	var err error
	b.server, err = b.Store.EditServer(b.Context(t), b.server.UUID, func(s ingest.Server) (ingest.Server, error) {
		change(&s)
		return s, nil
	})
	require.NoError(t, err)
}

// ingest runs all steps of a ready file.
func (b *bench) ingest(t *testing.T, f ingest.File) ingest.File {
	t.Helper()
	for _, step := range []func(*testing.T, ingest.File) string{b.download, b.verify, b.upload, b.notify} {
		require.Empty(t, step(t, f))
	}
	now, err := b.Store.File(b.Context(t), f.UUID)
	require.NoError(t, err)
	require.Equal(t, ingest.StatusCompleted, now.Status)
	return now
}

func (b *bench) after(t *testing.T, f ingest.File) string {
	return b.run(t, activities.NameAfterIngest, activities.AfterIngestInput{FileUUID: f.UUID})
}

func (b *bench) file(t *testing.T, f ingest.File) ingest.File {
	t.Helper()
	now, err := b.Store.File(b.Context(t), f.UUID)
	require.NoError(t, err)
	return now
}

// write writes a file whose time is the given number of seconds after a common base.
func (b *bench) write(t *testing.T, name, content string, seconds int) {
	t.Helper()
	b.sshd.Write(t, name, []byte(content))
	at := time.Now().Add(-time.Hour).Truncate(time.Hour).Add(time.Duration(seconds) * time.Second)
	require.NoError(t, os.Chtimes(b.sshd.Path(name), at, at))
}

func (b *bench) exists(name string) bool {
	_, err := os.Stat(b.sshd.Path(name))
	return err == nil
}

// TestOnlyIngestedVersionsAreDeletedOrMoved: the file must be completed, and the source must
// still be the same version at the last moment.
func TestOnlyIngestedVersionsAreDeletedOrMoved(t *testing.T) {
	t.Parallel()
	for name, action := range map[string]string{"delete": "delete", "move": "move:"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.set(t, func(s *ingest.Server) {
				s.AfterIngest = ingest.AfterIngest(action)
				if action != "delete" {
					s.AfterIngest += ingest.AfterIngest(b.sshd.Path("done"))
				}
			})
			require.NoError(t, os.Mkdir(b.sshd.Path("done"), 0o755))

			early := b.ready(t, "early.csv", []byte("12345"))
			for _, step := range []func(*testing.T, ingest.File) string{b.download, b.verify, b.upload} {
				require.Empty(t, b.after(t, early))
				require.True(t, b.exists("early.csv"), "a file that is not completed has no after-ingest action")
				require.Empty(t, step(t, early))
			}
			require.Empty(t, b.after(t, early))
			require.True(t, b.exists("early.csv"), "a stored file without a notification keeps its source")
			require.Empty(t, b.notify(t, early))
			require.Empty(t, b.after(t, early))
			assert.False(t, b.exists("early.csv"))

			for version, change := range map[string]func(name string){
				"longer": func(name string) { b.write(t, name, "123456", 0) },
				"newer":  func(name string) { b.write(t, name, "54321", 7) },
			} {
				name := version + ".csv"
				b.write(t, name, "12345", 0)
				f := b.ingest(t, b.ready(t, "other-"+name, []byte("1")))
				require.Empty(t, b.after(t, f))
				f = b.ingest(t, b.File(t, b.sshd.Path(name), func(f ingest.File) bool { return f.Status == ingest.StatusReady }))
				change(name)
				require.Empty(t, b.after(t, f))
				assert.True(t, b.exists(name), version)
				assert.Contains(t, sandbox.Detail(b.Events(t, f.UUID), ingest.EventSourceDone, "found"), "another version")
			}
		})
	}
}

// TestAMoveChecksTheVersionLast: checking the target takes time.
func TestAMoveChecksTheVersionLast(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.set(t, func(s *ingest.Server) {
		s.AfterIngest, s.OnCollision = ingest.AfterIngest("move:"+b.sshd.Path("done")), ingest.CollisionOverwrite
	})
	b.sshd.Write(t, "done/a.csv", []byte("what was there"))
	f := b.ingest(t, b.ready(t, "a.csv", []byte("12345")))
	m := b.hookSources()
	m.onStat = func(looked string) {
		if path.Dir(looked) == b.sshd.Path("done") {
			b.sshd.Write(t, "a.csv", []byte("the next one"))
		}
	}
	require.Empty(t, b.after(t, f))
	assert.True(t, b.exists("a.csv"))
	content, err := os.ReadFile(b.sshd.Path("done/a.csv"))
	require.NoError(t, err)
	assert.Equal(t, "what was there", string(content))
}

// TestASourceThatIsLeftIsShown: the source is also retried by later listings.
func TestASourceThatIsLeftIsShown(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.set(t, func(s *ingest.Server) { s.AfterIngest = ingest.AfterDelete })
	m := b.hookSources()
	f := b.ingest(t, b.ready(t, "a.csv", []byte("12345")))
	refuse := func(string, string) error { return ingest.Errorf(ingest.KindPermission, "refused by the partner") }
	m.refuse = refuse
	require.Equal(t, string(ingest.KindPermission), b.after(t, f))
	now := b.file(t, f)
	assert.Equal(t, ingest.StatusCompleted, now.Status)
	assert.Equal(t, "refused by the partner", now.SourceLeft)
	assert.WithinDuration(t, time.Now(), now.SourceLeftAt, time.Hour)

	calls := m.calls.Load()
	require.Empty(t, b.list(t, false))
	assert.Equal(t, calls, m.calls.Load(), "the action is not repeated at every listing")
	b.acts.LeftRetry = time.Nanosecond
	require.Empty(t, b.list(t, false))
	assert.Equal(t, calls+1, m.calls.Load())
	assert.NotEmpty(t, b.file(t, f).SourceLeft)
	b.set(t, func(s *ingest.Server) { s.AfterIngest = ingest.AfterKeep })
	assert.Empty(t, b.file(t, f).SourceLeft, "a server that keeps sources has none left")
	b.set(t, func(s *ingest.Server) { s.AfterIngest = ingest.AfterDelete })
	m.refuse = nil
	require.Empty(t, b.list(t, false))
	assert.Empty(t, b.file(t, f).SourceLeft)
	assert.False(t, b.exists("a.csv"))
}

// TestASourceThatEndsTheConnectionDelaysNoOthers: its deletion is retried before theirs in
// the order of ids.
func TestASourceThatEndsTheConnectionDelaysNoOthers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.set(t, func(s *ingest.Server) { s.AfterIngest = ingest.AfterDelete })
	m := b.hookSources()
	var files []ingest.File
	for _, name := range []string{"1.csv", "2.csv", "3.csv"} {
		files = append(files, b.ingest(t, b.ready(t, name, []byte(name))))
	}
	m.refuse = func(string, string) error { return ingest.Errorf(ingest.KindPermission, "refused by the partner") }
	for _, f := range files {
		require.Equal(t, string(ingest.KindPermission), b.after(t, f))
	}
	m.refuse = func(_, path string) error {
		if filepath.Base(path) != "1.csv" {
			return nil
		}
		b.sshd.KillSessions()
		return ingest.Errorf(ingest.KindTransient, "lost the connection")
	}
	b.acts.LeftRetry = time.Nanosecond
	require.Empty(t, b.list(t, false))
	require.Empty(t, b.list(t, false))
	assert.False(t, b.exists("2.csv"))
	assert.False(t, b.exists("3.csv"))
	assert.True(t, b.exists("1.csv"))
}

// TestPretendedSuccessIsNoDelivery: under `--resent deliver` a source that the server only
// claims to have deleted or moved would be ingested at each listing.
func TestPretendedSuccessIsNoDelivery(t *testing.T) {
	t.Parallel()
	for _, action := range []string{"delete", "move:/done"} {
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.set(t, func(s *ingest.Server) { s.AfterIngest, s.Resent = ingest.AfterIngest(action), ingest.ResentDeliver })
			m := b.hookSources()
			f := b.ingest(t, b.ready(t, "a.csv", []byte("12345")))
			m.refuse = func(string, string) error { return errPretended }
			require.Equal(t, string(ingest.KindTransient), b.after(t, f))
			for range 3 {
				require.Empty(t, b.list(t, false))
			}
			files, err := b.Store.Files(b.Context(t), ingest.FileFilter{Server: "acme"})
			require.NoError(t, err)
			assert.Len(t, files, 1)
		})
	}
}

// TestTheNextDeliveryIsNotTakenForALeftSource: it arrives directly after the removal. Where
// only the size identifies a version, a further attempt would delete it.
func TestTheNextDeliveryIsNotTakenForALeftSource(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.set(t, func(s *ingest.Server) { s.AfterIngest, s.Identity = ingest.AfterDelete, ingest.IdentitySize })
	b.write(t, "a.csv", "12345", 0)
	require.Empty(t, b.list(t, false))
	f := b.ingest(t, b.File(t, b.sshd.Path("a.csv"), func(f ingest.File) bool { return f.Status == ingest.StatusReady }))
	m := b.hookSources()
	m.refuse = func(string, string) error {
		b.sshd.Write(t, "a.csv", []byte("54321"))
		return errPretended
	}
	require.Empty(t, b.after(t, f))
	assert.True(t, b.exists("a.csv"))
	assert.False(t, b.file(t, f).SourceGoneAt.IsZero())
}

// TestALeftCompanionDoesNotHideTheNextDelivery: the source is gone although its companion
// is not, so that a file at the path is another delivery, even an equal one.
func TestALeftCompanionDoesNotHideTheNextDelivery(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.set(t, func(s *ingest.Server) {
		s.AfterIngest, s.DoneMarker, s.Identity, s.Resent = ingest.AfterDelete, "*.done", ingest.IdentitySize, ingest.ResentDeliver
	})
	m := b.hookSources()
	m.refuse = func(_, path string) error {
		if filepath.Ext(path) == ".done" {
			return ingest.Errorf(ingest.KindPermission, "refused by the partner")
		}
		return nil
	}
	deliver := func(name string, seconds int) {
		b.write(t, name+".done", "", seconds+1)
		b.write(t, name, "12345", seconds)
	}
	for _, name := range []string{"new-time.csv", "same-time.csv"} {
		deliver(name, 0)
		require.Empty(t, b.list(t, false))
		f := b.ingest(t, b.File(t, b.sshd.Path(name), func(f ingest.File) bool { return f.Status == ingest.StatusReady }))
		require.Empty(t, b.after(t, f))
		require.Equal(t, "refused by the partner", b.file(t, f).SourceLeft)
		require.False(t, b.exists(name))
	}
	b.acts.LeftRetry = time.Nanosecond
	deliver("new-time.csv", 60)
	deliver("same-time.csv", 0)
	for range 3 {
		require.Empty(t, b.list(t, false))
	}
	for _, name := range []string{"new-time.csv", "same-time.csv"} {
		assert.True(t, b.exists(name), name)
		b.File(t, b.sshd.Path(name), func(f ingest.File) bool { return f.Status == ingest.StatusReady })
	}
}

// TestCompanionsFollowTheirFile: late companions follow, too, and shared ones after the
// last file. Companions of a delivery in progress stay.
func TestCompanionsFollowTheirFile(t *testing.T) {
	t.Parallel()
	for name, action := range map[string]string{"delete": "delete", "move": "move:", "stay": "delete"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			done := filepath.Join(filepath.Dir(b.sshd.Root), "done")
			require.NoError(t, os.Mkdir(done, 0o755))
			follow := name != "stay"
			b.set(t, func(s *ingest.Server) {
				s.AfterIngest, s.DoneMarker = ingest.AfterIngest(action), "*.done"
				if name == "move" {
					s.AfterIngest += ingest.AfterIngest(done)
				}
				if !follow {
					s.Companions = ingest.CompanionsStay
				}
			})
			for _, file := range []string{"a.csv", "b.csv"} {
				b.write(t, file+".done", "", 1)
				b.write(t, file+".sha256", sandbox.Digest([]byte("content of "+file)), 1)
				b.write(t, file+".md5", "d41d8cd98f00b204e9800998ecf8427e", 1)
				b.write(t, file, "content of "+file, 0)
			}
			b.write(t, "SHA256SUMS", sandbox.Digest([]byte("content of b.csv"))+"  b.csv\n", 2)
			ready := func(name string) ingest.File {
				require.Empty(t, b.list(t, false))
				return b.File(t, b.sshd.Path(name), func(f ingest.File) bool { return f.Status == ingest.StatusReady })
			}
			first, second := ready("a.csv"), ready("b.csv")
			require.Empty(t, b.after(t, b.ingest(t, first)))
			moved := func(name string) bool {
				_, err := os.Stat(filepath.Join(done, name))
				return err == nil
			}
			for _, companion := range []string{"a.csv.done", "a.csv.sha256"} {
				assert.Equal(t, !follow, b.exists(companion), companion)
				assert.Equal(t, name == "move", moved(companion), companion)
			}
			require.Empty(t, b.list(t, false))
			assert.True(t, b.exists("SHA256SUMS"), "b.csv is not ingested yet")
			assert.True(t, b.exists("a.csv.md5"), "its digest does not match")

			b.write(t, "a.csv.sha256", sandbox.Digest([]byte("content of a.csv")), 3) // late
			b.write(t, "a.csv.done", "", 3)
			b.write(t, "a.csv.sha512", "of the next delivery", 3)
			b.acts.LeftRetry = time.Nanosecond
			require.Empty(t, b.list(t, false))
			for _, companion := range []string{"a.csv.done", "a.csv.sha256"} {
				assert.Equal(t, !follow, b.exists(companion), companion)
			}
			assert.True(t, b.exists("a.csv.sha512"))
			require.Empty(t, b.after(t, b.ingest(t, second)))
			require.Empty(t, b.list(t, false))
			require.Empty(t, b.list(t, false))
			assert.Equal(t, !follow, b.exists("SHA256SUMS"))
			assert.Equal(t, !follow, b.exists("a.csv.md5"), "the companion exists for longer than LeftRetry")
			scan := b.LatestScan(t, b.server.UUID)
			assert.NotZero(t, scan.Alone)

			files, err := b.Store.Files(b.Context(t), ingest.FileFilter{Server: "acme"})
			require.NoError(t, err)
			for _, f := range files {
				assert.Contains(t, []string{"a.csv", "b.csv"}, f.Filename, "a companion is no delivery")
			}
		})
	}
}

// TestADoneMarkerCoversOneVersion: the marker of the first delivery does not release the
// second, which is still being written.
func TestADoneMarkerCoversOneVersion(t *testing.T) {
	t.Parallel()
	for name, second := range map[string]int{"older marker": 10, "times preserved": -10} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.set(t, func(s *ingest.Server) { s.DoneMarker = "*.done" })
			b.write(t, "a.csv", "first", 0)
			b.write(t, "a.csv.done", "", 1)
			require.Empty(t, b.list(t, false))
			b.ingest(t, b.File(t, b.sshd.Path("a.csv"), func(f ingest.File) bool { return f.Status == ingest.StatusReady }))
			b.write(t, "a.csv", "second half", second)
			require.Empty(t, b.list(t, false))
			require.Empty(t, b.run(t, activities.NameRecheckSettling, activities.RecheckSettlingInput{ServerUUID: b.server.UUID}))
			waiting := b.File(t, b.sshd.Path("a.csv"), func(f ingest.File) bool { return f.Size == int64(len("second half")) })
			assert.Equal(t, ingest.StatusDiscovered, waiting.Status)
			assert.Contains(t, waiting.WaitsFor, "a new done-marker")
			b.write(t, "a.csv", "second half, and the rest", second+1)
			require.Empty(t, b.list(t, false))
			require.Empty(t, b.list(t, false))
			assert.Equal(t, ingest.StatusDiscovered, b.file(t, b.File(t, b.sshd.Path("a.csv"), func(f ingest.File) bool { return f.Size > 20 })).Status)
			b.write(t, "a.csv.done", "", 30)
			require.Empty(t, b.list(t, false))
			assert.Equal(t, ingest.StatusReady, b.File(t, b.sshd.Path("a.csv"), func(f ingest.File) bool { return f.Size > 20 }).Status)
		})
	}
}

// TestAChecksumFileWithoutAFileIsRejected: the reason names the setting to ingest it.
func TestAChecksumFileWithoutAFileIsRejected(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.write(t, "delivery.md5", "d41d8cd98f00b204e9800998ecf8427e", 0)
	b.write(t, "SHA256SUMS", "x", 0)
	require.Empty(t, b.list(t, false))
	files, err := b.Store.Files(b.Context(t), ingest.FileFilter{Server: "acme"})
	require.NoError(t, err)
	assert.Empty(t, files, "the file of the checksum file may still arrive")
	assert.Len(t, b.Ignored(t, b.server.UUID), 2)
	b.acts.LeftRetry = time.Nanosecond
	require.Empty(t, b.list(t, false))
	f := b.File(t, b.sshd.Path("delivery.md5"), func(ingest.File) bool { return true })
	assert.Equal(t, ingest.StatusRejected, f.Status)
	assert.Contains(t, sandbox.Detail(b.Events(t, f.UUID), ingest.EventRejected, "reason"), "--include '**/*.md5'")

	require.NoError(t, os.Remove(b.sshd.Path("delivery.md5")))
	require.NoError(t, os.Remove(b.sshd.Path("SHA256SUMS")))
	require.Empty(t, b.list(t, false))
	assert.Empty(t, b.Ignored(t, b.server.UUID))
}

func TestAFileBelowTheMinimumSizeWaits(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.set(t, func(s *ingest.Server) { s.MinSize = 1 })
	b.write(t, "a.csv", "", 0)
	require.Empty(t, b.list(t, false))
	require.Empty(t, b.run(t, activities.NameRecheckSettling, activities.RecheckSettlingInput{ServerUUID: b.server.UUID}))
	f := b.File(t, b.sshd.Path("a.csv"), func(ingest.File) bool { return true })
	assert.Equal(t, ingest.StatusDiscovered, f.Status)
	assert.Contains(t, f.WaitsFor, "at least 1 bytes")
	b.ready(t, "a.csv", []byte("the rest"))
	files, err := b.Store.Files(b.Context(t), ingest.FileFilter{Server: "acme"})
	require.NoError(t, err)
	assert.Len(t, files, 1)
}

// TestCompanionsStayWithANewVersion: the new version arrives right after the file was
// removed.
func TestCompanionsStayWithANewVersion(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.set(t, func(s *ingest.Server) { s.AfterIngest, s.DoneMarker = ingest.AfterDelete, "*.done" })
	b.write(t, "a.csv", "first", 0)
	b.write(t, "a.csv.done", "", 1)
	require.Empty(t, b.list(t, false))
	f := b.ingest(t, b.File(t, b.sshd.Path("a.csv"), func(f ingest.File) bool { return f.Status == ingest.StatusReady }))
	require.NoError(t, os.Remove(b.sshd.Path("a.csv")))
	m := b.hookSources()
	m.onStat = func(path string) {
		if path == b.sshd.Path("a.csv") && !b.exists("a.csv") {
			b.write(t, "a.csv", "second", 1)
		}
	}
	require.Empty(t, b.after(t, f))
	assert.True(t, b.exists("a.csv"))
	assert.True(t, b.exists("a.csv.done"))
}

// TestAFileWaitsForANewChecksumFile: the server's settings require one.
func TestAFileWaitsForANewChecksumFile(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.set(t, func(s *ingest.Server) { s.SidecarWait = time.Hour })
	b.write(t, "a.csv", "today", 0)
	b.write(t, "a.csv.sha256", sandbox.Digest([]byte("yesterday")), -1)
	require.Empty(t, b.list(t, false))
	f := b.File(t, b.sshd.Path("a.csv"), func(ingest.File) bool { return true })
	assert.Equal(t, ingest.StatusDiscovered, f.Status)
	assert.Contains(t, f.WaitsFor, "a new checksum file, at most until")
	b.write(t, "SHA256SUMS", sandbox.Digest([]byte("today"))+"  a.csv\n", 1)
	require.Empty(t, b.run(t, activities.NameRecheckSettling, activities.RecheckSettlingInput{ServerUUID: b.server.UUID}))
	f = b.File(t, b.sshd.Path("a.csv"), func(ingest.File) bool { return true })
	assert.Equal(t, ingest.StatusReady, f.Status)
	assert.Equal(t, b.sshd.Path("SHA256SUMS"), f.Sidecar.Path)
}

// TestAMoveIntoTheListedFolderIsNotIngestedAgain: each move would give the file a new name,
// and it would be ingested again. Only the server can resolve links.
func TestAMoveIntoTheListedFolderIsNotIngestedAgain(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		target string
		stays  bool
	}{
		"the listed folder":              {"in", true},
		"by a link":                      {"link", true},
		"below the listed folder":        {"in/done", false},
		"below it by a link":             {"link/done", false},
		"by a link to the folder itself": {"to-done", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			require.NoError(t, os.MkdirAll(b.sshd.Path("in/done"), 0o755))
			require.NoError(t, os.Symlink(b.sshd.Path("in"), b.sshd.Path("link")))
			require.NoError(t, os.Symlink(b.sshd.Path("in/done"), b.sshd.Path("to-done")))
			b.set(t, func(s *ingest.Server) {
				s.RootPath, s.AfterIngest = b.sshd.Path("in"), ingest.AfterIngest("move:"+b.sshd.Path(tc.target))
			})
			for _, file := range []string{"in/a.csv", "in/sub/b.csv"} {
				f := b.ingest(t, b.ready(t, file, []byte("12345")))
				require.Empty(t, b.after(t, f))
				assert.Equal(t, tc.stays, b.exists(file))
				if tc.stays {
					assert.Contains(t, sandbox.Detail(b.Events(t, f.UUID), ingest.EventSourceDone, "found"), "the listed folder")
				}
			}
			b.list(t, false)
			b.list(t, false)
			all, err := b.Store.Files(b.Context(t), ingest.FileFilter{})
			require.NoError(t, err)
			assert.Len(t, all, 2, "nothing was ingested again")
		})
	}
}
