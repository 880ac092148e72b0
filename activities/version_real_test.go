package activities_test

import (
	"bytes"
	"context"
	"os"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
)

// onOpenDo calls do after each opening of a file.
func (b *bench) onOpenDo(do func(path string)) { b.hookSources().onOpen = do }

// setIdentity sets the server's identity rule.
func (b *bench) setIdentity(t *testing.T, by ingest.Identity) {
	t.Helper()
	b.set(t, func(s *ingest.Server) { s.Identity = by })
}

func (b *bench) inMemory(t *testing.T, f ingest.File) string {
	return b.run(t, activities.NameIngestInMemory, activities.IngestInMemoryInput{FileUUID: f.UUID, ServerUUID: f.ServerUUID, Size: f.Size})
}

// fetchers returns the steps that read from a server, by mode.
func (b *directBench) fetchers() map[string]func(*testing.T, ingest.File) string {
	return map[string]func(*testing.T, ingest.File) string{"staged": b.download, "direct": b.transfer, "memory": b.inMemory}
}

// touch sets a file's time to the given age.
func (b *bench) touch(t *testing.T, name string, age time.Duration) {
	t.Helper()
	at := time.Now().Add(-age)
	require.NoError(t, os.Chtimes(b.sshd.Path(name), at, at))
}

// TestAReplacementOfTheSameSizeIsDetected: in every mode, the file is replaced while it
// is read.
func TestAReplacementOfTheSameSizeIsDetected(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"staged", "direct", "memory"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			b := newDirectBench(t)
			b.sshd.Write(t, "a.bin", sandbox.Random(5000))
			b.touch(t, "a.bin", time.Hour)
			f := b.ready(t, "a.bin", sandbox.Random(5000))
			b.onOpenDo(func(path string) {
				require.NoError(t, os.WriteFile(path, bytes.Repeat([]byte("x"), 5000), 0o600))
				b.touch(t, "a.bin", time.Minute)
			})
			require.Equal(t, string(ingest.KindChanged), b.fetchers()[mode](t, f))
			require.Empty(t, b.S3.Objects(t))
			require.Equal(t, ingest.StatusDownloading, b.status(t, f))
		})
	}
}

// staleStat returns the first stat of each path again.
type staleStat struct{ activities.Sources }

func (s staleStat) Open(ctx context.Context, server ingest.Server) (activities.Source, error) {
	source, err := s.Sources.Open(ctx, server)
	return &staleStatSource{Source: source, first: map[string]ingest.Observation{}}, err
}

type staleStatSource struct {
	activities.Source
	first map[string]ingest.Observation
}

func (s *staleStatSource) Stat(ctx context.Context, path string) (ingest.Observation, error) {
	if seen, ok := s.first[path]; ok {
		return seen, nil
	}
	seen, err := s.Source.Stat(ctx, path)
	s.first[path] = seen
	return seen, err
}

func (s *staleStatSource) OpenFile(ctx context.Context, path string) (activities.RemoteFile, error) {
	if err := os.Chtimes(path, time.Unix(1, 0), time.Unix(1, 0)); err != nil {
		return nil, err
	}
	return s.Source.OpenFile(ctx, path)
}

// TestAReplacementBeforeOpeningIsDetected: the path has the old version again afterwards.
func TestAReplacementBeforeOpeningIsDetected(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"staged", "direct", "memory"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			b := newDirectBench(t)
			f := b.ready(t, "a.bin", sandbox.Random(5000))
			b.acts.Sources = staleStat{b.acts.Sources}
			require.Equal(t, string(ingest.KindChanged), b.fetchers()[mode](t, f))
			require.Empty(t, b.S3.Objects(t))
		})
	}
}

// TestReadingChangesTheTime: each read changes the file's time. With an identity rule that
// ignores times it is ingested once and may be deleted.
func TestReadingChangesTheTime(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"staged", "direct", "memory"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			b := newDirectBench(t)
			b.setIdentity(t, ingest.IdentitySize)
			f := b.ready(t, "a.bin", sandbox.Random(5000))
			b.onOpenDo(func(string) { b.touch(t, "a.bin", time.Hour) })
			require.Empty(t, b.fetchers()[mode](t, f))
			if mode == "staged" {
				require.Empty(t, b.verify(t, f))
				require.Empty(t, b.upload(t, f))
			}
			require.Empty(t, b.notify(t, f))
			for range 2 {
				require.Empty(t, b.list(t, false))
			}
			require.Len(t, b.Files(t), 1)
			now, err := b.Store.File(b.Context(t), f.UUID)
			require.NoError(t, err)
			require.NotZero(t, now.ShownTime)

			b.set(t, func(s *ingest.Server) { s.AfterIngest = ingest.AfterDelete })
			b.touch(t, "a.bin", 2*time.Hour) // as if it had been replaced
			require.Empty(t, b.run(t, activities.NameAfterIngest, activities.AfterIngestInput{FileUUID: f.UUID}))
			require.FileExists(t, b.sshd.Path("a.bin"), "a source is deleted only with the time with which it was read")
		})
	}
}

func TestAFileIsDeletedWithTheTimeAfterReading(t *testing.T) {
	t.Parallel()
	b := newDirectBench(t)
	b.set(t, func(s *ingest.Server) { s.Identity, s.AfterIngest = ingest.IdentitySize, ingest.AfterDelete })
	f := b.ready(t, "a.bin", sandbox.Random(500))
	b.onOpenDo(func(string) { b.touch(t, "a.bin", time.Hour) })
	require.Empty(t, b.inMemory(t, f))
	require.Empty(t, b.run(t, activities.NameAfterIngest, activities.AfterIngestInput{FileUUID: f.UUID}))
	require.NoFileExists(t, b.sshd.Path("a.bin"))
	now, err := b.Store.File(b.Context(t), f.UUID)
	require.NoError(t, err)
	require.NotZero(t, now.SourceGoneAt)
}

// TestSameContentUnderANewTime is read, but not notified again. Other content is.
func TestSameContentUnderANewTime(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"staged", "direct", "memory"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			b := newDirectBench(t)
			b.setIdentity(t, ingest.IdentitySizeHash)
			size := 5000
			if mode == "direct" {
				size = 2*directPart + 77
			}
			content := sandbox.Random(size)
			first := b.ready(t, "a.bin", content)
			if mode == "direct" {
				require.Empty(t, b.transfer(t, first))
				require.Empty(t, b.notify(t, first))
			} else {
				require.Empty(t, b.inMemory(t, first))
			}
			require.Len(t, b.AMQP.Messages(t), 1)
			again := func(age time.Duration) ingest.File {
				b.touch(t, "a.bin", age)
				require.Empty(t, b.list(t, false))
				for _, f := range b.Files(t) {
					if f.Status == ingest.StatusReady {
						return f
					}
				}
				t.Fatal("no new version is ready")
				return ingest.File{}
			}
			for _, age := range []time.Duration{time.Hour, 2 * time.Hour} {
				f := again(age)
				require.Equal(t, string(ingest.KindSameContent), b.fetchers()[mode](t, f))
				outcome := value[activities.Outcome](t, b.bench, activities.NameRecordFailure, activities.RecordFailureInput{
					FileUUID: f.UUID, Step: ingest.StepDownload, Kind: ingest.KindSameContent, Message: "the same",
				})
				require.Equal(t, ingest.StatusSuperseded, outcome.Status)
				require.Empty(t, b.list(t, false))
				require.Len(t, b.Files(t), 2, "one row for all later times")
				require.Len(t, b.S3.Objects(t), 1)
				require.Zero(t, b.S3.OpenUploads(t))
			}
			other := bytes.Clone(content)
			other[7]++
			require.NoError(t, os.WriteFile(b.sshd.Path("a.bin"), other, 0o600))
			f := again(3 * time.Hour)
			require.Empty(t, b.fetchers()[mode](t, f))
		})
	}
}

// TestAnObjectWithOtherContentIsNotAdopted: another size, another hash, or no hash.
func TestAnObjectWithOtherContentIsNotAdopted(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		size int
		hash bool
	}{"another size": {4999, true}, "another content": {5000, true}, "no hash": {5000, false}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			f := b.ready(t, "a.bin", sandbox.Random(5000))
			require.Empty(t, b.download(t, f))
			require.Empty(t, b.verify(t, f))
			claimed, err := b.Store.Claim(b.Context(t), f.UUID)
			require.NoError(t, err)
			require.NoError(t, b.Store.Apply(b.Context(t), ingest.UploadStarted(claimed, b.S3.Bucket, ingest.ObjectKey(f))))
			other := bytes.Repeat([]byte("x"), tc.size)
			options := minio.PutObjectOptions{UserMetadata: map[string]string{}}
			if tc.hash {
				options.UserMetadata["Sha256"] = sandbox.Digest(other)
				if tc.size != 5000 { // differs in its size only
					options.UserMetadata["Sha256"] = sandbox.Digest(sandbox.Random(5000))
				}
			}
			_, err = b.S3.Core.PutObject(b.Context(t), b.S3.Bucket, ingest.ObjectKey(f), bytes.NewReader(other), int64(tc.size), "", "", options)
			require.NoError(t, err)
			require.Empty(t, b.download(t, f))
			require.Equal(t, ingest.StatusDownloaded, b.status(t, f), "an object with other content is not adopted")
		})
	}
}

// TestAReadOnceServerIsReadOnce: completely staged bytes are not read again.
func TestAReadOnceServerIsReadOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.set(t, func(s *ingest.Server) { s.ReadOnce = true })
	f := b.ready(t, "a.bin", sandbox.Random(5000))
	ledger := b.acts.Ledger
	b.acts.Ledger = failingLedger{ledger, ingest.StatusDownloaded}
	require.Equal(t, string(ingest.KindTransient), b.download(t, f))
	b.acts.Ledger = ledger
	logins := b.countLogins()
	require.Empty(t, b.download(t, f))
	require.Zero(t, logins.count.Load())
	require.Equal(t, ingest.StatusDownloaded, b.status(t, f))
}

// TestAListingNotesUnusualTimes: missing times and times in the future.
func TestAListingNotesUnusualTimes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sshd.Write(t, "none.csv", sandbox.Random(10))
	require.NoError(t, os.Chtimes(b.sshd.Path("none.csv"), time.Unix(0, 0), time.Unix(0, 0)))
	b.sshd.Write(t, "future.csv", sandbox.Random(10))
	b.touch(t, "future.csv", -70*365*24*time.Hour)
	b.sshd.Write(t, "good.csv", sandbox.Random(10))
	for _, list := range []string{activities.NameListServerFiles, activities.NameTryListing} {
		require.Empty(t, b.run(t, list, activities.ListServerFilesInput{ServerUUID: b.server.UUID, Source: "manual"}))
		scan := b.LatestScan(t, b.server.UUID)
		assert.Equal(t, "1 of 3 entries have no modification time: replacements of the same size cannot be detected; "+
			"1 file has a modification time in the future", scan.Note, list)
	}
	for name, note := range map[string]string{
		"none.csv": "no modification time", "future.csv": "in the future",
	} {
		f := b.File(t, b.sshd.Path(name), func(f ingest.File) bool { return f.Status == ingest.StatusReady })
		notes := f.Notes(time.Now())
		require.Len(t, notes, 1)
		assert.Contains(t, notes[0].String(), note)
	}
}

// TestAListingHoldsFilesThatLookNew: all times have shifted by an hour. Neither the listing nor
// rechecks make the files ready.
func TestAListingHoldsFilesThatLookNew(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.set(t, func(s *ingest.Server) { s.HoldChanges = 2 })
	names := []string{"a.csv", "b.csv", "c.csv"}
	for _, name := range names {
		b.sshd.Write(t, name, sandbox.Random(100))
		b.touch(t, name, 5*time.Hour)
	}
	require.Empty(t, b.list(t, false))
	for _, f := range b.Files(t) {
		require.Empty(t, b.inMemory(t, f))
	}
	for _, name := range names {
		info, err := os.Stat(b.sshd.Path(name))
		require.NoError(t, err)
		at := info.ModTime().Add(time.Hour)
		require.NoError(t, os.Chtimes(b.sshd.Path(name), at, at))
	}
	result := value[activities.ListServerFilesResult](t, b, activities.NameListServerFiles, activities.ListServerFilesInput{ServerUUID: b.server.UUID})
	assert.Equal(t, [3]int64{3, 0, 0}, [3]int64{result.New, result.Ready, result.Settling})
	recheck := value[activities.RecheckSettlingResult](t, b, activities.NameRecheckSettling, activities.RecheckSettlingInput{ServerUUID: b.server.UUID})
	assert.Zero(t, recheck.Ready+recheck.Settling)
	scan := b.LatestScan(t, b.server.UUID)
	assert.Contains(t, scan.Note, "3 known files look new because their times shifted by exactly 1h0m0s")
	assert.Len(t, b.AMQP.Messages(t), 3)
}

// TestReplacedWhileItIsReadIsNotDeleted: another file of the same size replaces the file while
// it is read or right after.
func TestReplacedWhileItIsReadIsNotDeleted(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"staged", "direct", "memory"} {
		for _, closing := range []bool{false, true} {
			t.Run(mode, func(t *testing.T) {
				t.Parallel()
				b := newDirectBench(t)
				b.set(t, func(s *ingest.Server) { s.Identity, s.AfterIngest = ingest.IdentitySize, ingest.AfterDelete })
				b.sshd.Write(t, "a.bin", sandbox.Random(500))
				b.touch(t, "a.bin", time.Hour)
				f := b.ready(t, "a.bin", sandbox.Random(500))
				replace := func(path string) {
					b.sshd.Write(t, "new", bytes.Repeat([]byte("x"), 500))
					b.touch(t, "new", time.Minute)
					require.NoError(t, os.Rename(b.sshd.Path("new"), path))
				}
				if closing {
					b.hookSources().onClose = replace
				} else {
					b.onOpenDo(replace)
				}
				require.Empty(t, b.fetchers()[mode](t, f))
				if mode == "staged" {
					require.Empty(t, b.verify(t, f))
					require.Empty(t, b.upload(t, f))
				}
				require.Empty(t, b.notify(t, f))
				require.Empty(t, b.run(t, activities.NameAfterIngest, activities.AfterIngestInput{FileUUID: f.UUID}))
				require.FileExists(t, b.sshd.Path("a.bin"))
			})
		}
	}
}
