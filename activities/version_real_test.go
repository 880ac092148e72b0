package activities_test

import (
	"bytes"
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
)

// whileRead does something to a file once it is open.
type whileRead struct {
	activities.Sources
	do func(path string)
}

func (w whileRead) Open(ctx context.Context, server ingest.Server) (activities.Source, error) {
	source, err := w.Sources.Open(ctx, server)
	return whileReadSource{source, w.do}, err
}

type whileReadSource struct {
	activities.Source
	do func(path string)
}

func (s whileReadSource) OpenFile(ctx context.Context, path string) (activities.RemoteFile, error) {
	file, err := s.Source.OpenFile(ctx, path)
	if err == nil {
		s.do(path)
	}
	return file, err
}

// whenRead has the file's content and time changed each time it is read.
func (b *bench) whenRead(do func(path string)) { b.acts.Sources = whileRead{b.acts.Sources, do} }

// identified is a bench whose server has the rule.
func (b *bench) identify(by ingest.Identity) {
	b.T.Helper()
	b.change(func(s *ingest.Server) { s.Identity = by })
}

func (b *bench) change(change func(*ingest.Server)) {
	b.T.Helper()
	var err error
	b.server, err = b.Store.EditServer(b.Ctx, b.server.UUID, func(s ingest.Server) (ingest.Server, error) {
		change(&s)
		return s, nil
	})
	require.NoError(b.T, err)
}

func (b *bench) inMemory(f ingest.File) string {
	return b.run(activities.NameIngestInMemory, activities.IngestInMemoryInput{FileUUID: f.UUID, ServerUUID: f.ServerUUID, Size: f.Size})
}

// fetches are the steps that read from a server, by mode.
func (b *directBench) fetches() map[string]func(ingest.File) string {
	return map[string]func(ingest.File) string{"staged": b.download, "direct": b.transfer, "memory": b.inMemory}
}

// aged sets the time of a file, so that it is another one at each call.
func (b *bench) aged(name string, age time.Duration) {
	b.T.Helper()
	at := time.Now().Add(-age)
	require.NoError(b.T, os.Chtimes(b.sshd.Path(name), at, at))
}

// TestAReplacementOfTheSameSizeWhileItIsRead is not taken, in any mode.
func TestAReplacementOfTheSameSizeWhileItIsRead(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"staged", "direct", "memory"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			b := newDirectBench(t)
			b.sshd.Write("a.bin", sandbox.Random(5000))
			b.aged("a.bin", time.Hour)
			f := b.ready("a.bin", sandbox.Random(5000))
			b.whenRead(func(path string) {
				require.NoError(t, os.WriteFile(path, bytes.Repeat([]byte("x"), 5000), 0o600))
				b.aged("a.bin", time.Minute)
			})
			require.Equal(t, string(ingest.KindChanged), b.fetches()[mode](f))
			require.Empty(t, b.S3.Objects(t))
			require.Equal(t, ingest.StatusDownloading, b.status(f))
		})
	}
}

// swapped shows a path as it was, whatever is there now.
type swapped struct{ activities.Sources }

func (s swapped) Open(ctx context.Context, server ingest.Server) (activities.Source, error) {
	source, err := s.Sources.Open(ctx, server)
	return &swappedSource{Source: source, shown: map[string]ingest.Observation{}}, err
}

type swappedSource struct {
	activities.Source
	shown map[string]ingest.Observation
}

func (s *swappedSource) Stat(ctx context.Context, path string) (ingest.Observation, error) {
	if seen, ok := s.shown[path]; ok {
		return seen, nil
	}
	seen, err := s.Source.Stat(ctx, path)
	s.shown[path] = seen
	return seen, err
}

func (s *swappedSource) OpenFile(ctx context.Context, path string) (activities.RemoteFile, error) {
	if err := os.Chtimes(path, time.Unix(1, 0), time.Unix(1, 0)); err != nil {
		return nil, err
	}
	return s.Source.OpenFile(ctx, path)
}

// TestWhatIsOpenedIsNotWhatThePathShowed: another file came between the look and the
// opening, and was gone again afterwards.
func TestWhatIsOpenedIsNotWhatThePathShowed(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"staged", "direct", "memory"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			b := newDirectBench(t)
			f := b.ready("a.bin", sandbox.Random(5000))
			b.acts.Sources = swapped{b.acts.Sources}
			require.Equal(t, string(ingest.KindChanged), b.fetches()[mode](f))
			require.Empty(t, b.S3.Objects(t))
		})
	}
}

// TestReadingMovesTheTime: each read gives the file a new time. Where that means
// nothing, it is taken once, is no new version afterwards, and may be deleted.
func TestReadingMovesTheTime(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"staged", "direct", "memory"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			b := newDirectBench(t)
			b.identify(ingest.IdentitySize)
			f := b.ready("a.bin", sandbox.Random(5000))
			b.whenRead(func(string) { b.aged("a.bin", time.Hour) })
			require.Empty(t, b.fetches()[mode](f))
			if mode == "staged" {
				require.Empty(t, b.verify(f))
				require.Empty(t, b.upload(f))
			}
			require.Empty(t, b.notify(f))
			for range 2 {
				require.Empty(t, b.list(false))
			}
			require.Len(t, b.Files(), 1)
			now, err := b.Store.File(b.Ctx, f.UUID)
			require.NoError(t, err)
			require.NotZero(t, now.ShownTime)

			b.change(func(s *ingest.Server) { s.AfterIngest = ingest.AfterDelete })
			b.aged("a.bin", 2*time.Hour) // somebody has replaced it since
			require.Empty(t, b.run(activities.NameAfterIngest, activities.AfterIngestInput{FileUUID: f.UUID}))
			require.FileExists(t, b.sshd.Path("a.bin"), "it was never read so")
		})
	}
}

// TestDeletedAsItWasRead: its time is the one that it had after it was read.
func TestDeletedAsItWasRead(t *testing.T) {
	t.Parallel()
	b := newDirectBench(t)
	b.change(func(s *ingest.Server) { s.Identity, s.AfterIngest = ingest.IdentitySize, ingest.AfterDelete })
	f := b.ready("a.bin", sandbox.Random(500))
	b.whenRead(func(string) { b.aged("a.bin", time.Hour) })
	require.Empty(t, b.inMemory(f))
	require.Empty(t, b.run(activities.NameAfterIngest, activities.AfterIngestInput{FileUUID: f.UUID}))
	require.NoFileExists(t, b.sshd.Path("a.bin"))
	now, err := b.Store.File(b.Ctx, f.UUID)
	require.NoError(t, err)
	require.NotZero(t, now.SourceGoneAt)
}

// TestSameContentUnderANewTime is read and not announced a second time; other
// content is.
func TestSameContentUnderANewTime(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"staged", "direct", "memory"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			b := newDirectBench(t)
			b.identify(ingest.IdentitySizeHash)
			size := 5000
			if mode == "direct" {
				size = 2*directPart + 77
			}
			content := sandbox.Random(size)
			first := b.ready("a.bin", content)
			if mode == "direct" {
				require.Empty(t, b.transfer(first))
				require.Empty(t, b.notify(first))
			} else {
				require.Empty(t, b.inMemory(first))
			}
			require.Len(t, b.AMQP.Messages(t), 1)
			again := func(age time.Duration) ingest.File {
				b.aged("a.bin", age)
				require.Empty(t, b.list(false))
				for _, f := range b.Files() {
					if f.Status == ingest.StatusReady {
						return f
					}
				}
				t.Fatal("no new version is ready")
				return ingest.File{}
			}
			for _, age := range []time.Duration{time.Hour, 2 * time.Hour} {
				f := again(age)
				require.Equal(t, string(ingest.KindSameContent), b.fetches()[mode](f))
				outcome := value[activities.Outcome](b.bench, activities.NameParkFile, activities.ParkFileInput{
					FileUUID: f.UUID, Step: ingest.StepDownload, Kind: ingest.KindSameContent, Message: "the same",
				})
				require.Equal(t, ingest.StatusSuperseded, outcome.Status)
				require.Empty(t, b.list(false))
				require.Len(t, b.Files(), 2, "one row for all its times")
				require.Len(t, b.S3.Objects(t), 1)
				require.Zero(t, b.S3.OpenUploads(t))
			}
			other := bytes.Clone(content)
			other[7]++
			require.NoError(t, os.WriteFile(b.sshd.Path("a.bin"), other, 0o600))
			f := again(3 * time.Hour)
			require.Empty(t, b.fetches()[mode](f))
		})
	}
}

// TestAnObjectOfOtherContentIsNotTakenForTheFiles: neither of another size, nor
// of the same size with another hash, nor without one.
func TestAnObjectOfOtherContentIsNotTakenForTheFiles(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		size int
		hash bool
	}{"another size": {4999, true}, "another content": {5000, true}, "no hash": {5000, false}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			f := b.ready("a.bin", sandbox.Random(5000))
			require.Empty(t, b.download(f))
			require.Empty(t, b.verify(f))
			claimed, err := b.Store.Claim(b.Ctx, f.UUID)
			require.NoError(t, err)
			require.NoError(t, b.Store.Apply(b.Ctx, ingest.UploadStarted(claimed, b.S3.Bucket, ingest.ObjectKey(f))))
			other := bytes.Repeat([]byte("x"), tc.size)
			options := minio.PutObjectOptions{UserMetadata: map[string]string{}}
			if tc.hash {
				options.UserMetadata["Sha256"] = sandbox.Digest(other)
				if tc.size != 5000 { // only its size gives it away
					options.UserMetadata["Sha256"] = sandbox.Digest(sandbox.Random(5000))
				}
			}
			_, err = b.S3.Core.PutObject(b.Ctx, b.S3.Bucket, ingest.ObjectKey(f), bytes.NewReader(other), int64(tc.size), "", "", options)
			require.NoError(t, err)
			require.Empty(t, b.download(f))
			require.Equal(t, ingest.StatusDownloaded, b.status(f), "it is not stored")
		})
	}
}

// loses is a ledger that is away when a file is downloaded, once.
type loses struct {
	activities.Ledger
	once sync.Once
}

func (l *loses) Apply(ctx context.Context, change ingest.Change) error {
	var err error
	if change.To == ingest.StatusDownloaded {
		l.once.Do(func() { err = ingest.Errorf(ingest.KindTransient, "the ledger is away") })
	}
	if err != nil {
		return err
	}
	return l.Ledger.Apply(ctx, change)
}

// TestAReadOnceServerIsNotAskedAgain for what is staged whole.
func TestAReadOnceServerIsNotAskedAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.change(func(s *ingest.Server) { s.ReadOnce = true })
	f := b.ready("a.bin", sandbox.Random(5000))
	b.acts.Ledger = &loses{Ledger: b.acts.Ledger}
	require.Equal(t, string(ingest.KindTransient), b.download(f))
	door := b.doorman()
	require.Empty(t, b.download(f))
	require.Zero(t, door.came.Load())
	require.Equal(t, ingest.StatusDownloaded, b.status(f))
}

// TestAListingSaysWhatIsOddAboutTimes: none at all, and those of the far future.
func TestAListingSaysWhatIsOddAboutTimes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sshd.Write("none.csv", sandbox.Random(10))
	require.NoError(t, os.Chtimes(b.sshd.Path("none.csv"), time.Unix(0, 0), time.Unix(0, 0)))
	b.sshd.Write("future.csv", sandbox.Random(10))
	b.aged("future.csv", -70*365*24*time.Hour)
	b.sshd.Write("good.csv", sandbox.Random(10))
	for _, list := range []string{activities.NameListServerFiles, activities.NameTryListing} {
		require.Empty(t, b.run(list, activities.ListServerFilesInput{ServerUUID: b.server.UUID, Source: "manual"}))
		scan, err := b.Store.LatestScan(b.Ctx, b.server.UUID)
		require.NoError(t, err)
		assert.Equal(t, "1 of 3 entries have no modification time: replacements of the same size cannot be detected; "+
			"1 file has a modification time in the future", scan.Note, list)
	}
	for name, note := range map[string]string{
		"none.csv": "no modification time", "future.csv": "in the future",
	} {
		f := b.File(b.sshd.Path(name), func(f ingest.File) bool { return f.Status == ingest.StatusReady })
		notes := f.SightNotes(time.Now())
		require.Len(t, notes, 1)
		assert.Contains(t, notes[0], note)
	}
}

// TestAListingHoldsWhatLooksNew: all times have moved by an hour. Nothing of it is
// made ready, by the listing or by looks at single files.
func TestAListingHoldsWhatLooksNew(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.change(func(s *ingest.Server) { s.HoldChanges = 2 })
	names := []string{"a.csv", "b.csv", "c.csv"}
	for _, name := range names {
		b.sshd.Write(name, sandbox.Random(100))
		b.aged(name, 5*time.Hour)
	}
	require.Empty(t, b.list(false))
	for _, f := range b.Files() {
		require.Empty(t, b.inMemory(f))
	}
	for _, name := range names {
		info, err := os.Stat(b.sshd.Path(name))
		require.NoError(t, err)
		at := info.ModTime().Add(time.Hour)
		require.NoError(t, os.Chtimes(b.sshd.Path(name), at, at))
	}
	result := value[activities.ListServerFilesResult](b, activities.NameListServerFiles, activities.ListServerFilesInput{ServerUUID: b.server.UUID})
	assert.Equal(t, [3]int64{3, 0, 0}, [3]int64{result.New, result.Ready, result.Settling})
	recheck := value[activities.RecheckSettlingResult](b, activities.NameRecheckSettling, activities.RecheckSettlingInput{ServerUUID: b.server.UUID})
	assert.Zero(t, recheck.Ready+recheck.Settling)
	scan, err := b.Store.LatestScan(b.Ctx, b.server.UUID)
	require.NoError(t, err)
	assert.Contains(t, scan.Note, "3 known files look new because their times moved by exactly 1h0m0s")
	assert.Len(t, b.AMQP.Messages(t), 3)
}

// TestReplacedWhileItIsReadIsNotDeleted: a file that is renamed over the one that is
// being read, and one that comes right after. Both have its size, and nobody has read
// them.
func TestReplacedWhileItIsReadIsNotDeleted(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"staged", "direct", "memory"} {
		for _, closing := range []bool{false, true} {
			t.Run(mode, func(t *testing.T) {
				t.Parallel()
				b := newDirectBench(t)
				b.change(func(s *ingest.Server) { s.Identity, s.AfterIngest = ingest.IdentitySize, ingest.AfterDelete })
				b.sshd.Write("a.bin", sandbox.Random(500))
				b.aged("a.bin", time.Hour)
				f := b.ready("a.bin", sandbox.Random(500))
				replace := func(path string) {
					b.sshd.Write("new", bytes.Repeat([]byte("x"), 500))
					b.aged("new", time.Minute)
					require.NoError(t, os.Rename(b.sshd.Path("new"), path))
				}
				if closing {
					b.acts.Sources = whenClosed{b.acts.Sources, replace}
				} else {
					b.whenRead(replace)
				}
				require.Empty(t, b.fetches()[mode](f))
				if mode == "staged" {
					require.Empty(t, b.verify(f))
					require.Empty(t, b.upload(f))
				}
				require.Empty(t, b.notify(f))
				require.Empty(t, b.run(activities.NameAfterIngest, activities.AfterIngestInput{FileUUID: f.UUID}))
				require.FileExists(t, b.sshd.Path("a.bin"))
			})
		}
	}
}

// whenClosed does something to a file right after it is closed.
type whenClosed struct {
	activities.Sources
	do func(path string)
}

func (w whenClosed) Open(ctx context.Context, server ingest.Server) (activities.Source, error) {
	source, err := w.Sources.Open(ctx, server)
	return whenClosedSource{source, w.do}, err
}

type whenClosedSource struct {
	activities.Source
	do func(path string)
}

func (s whenClosedSource) OpenFile(ctx context.Context, path string) (activities.RemoteFile, error) {
	file, err := s.Source.OpenFile(ctx, path)
	return whenClosedFile{file, func() { s.do(path) }}, err
}

type whenClosedFile struct {
	activities.RemoteFile
	do func()
}

func (f whenClosedFile) Close() error {
	err := f.RemoteFile.Close()
	f.do()
	return err
}
