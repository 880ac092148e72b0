package store_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"stevedore/internal/ingest"
)

func TestFirstObservation(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := seen("/in/report.csv", 42)
	o.Sidecar = ingest.Companion{Path: "/in/SHA256SUMS", Size: 3, ModTime: o.ModTime.UTC()}
	require.Equal(t, ingest.ScanCounts{Seen: 1, New: 1}, b.observe(t, o))
	require.Equal(t, ingest.ScanCounts{Seen: 1}, b.observe(t, o), "a known file is not new")

	f := b.only(t)
	assert.Equal(t, ingest.StatusDiscovered, f.Status)
	assert.Equal(t, "/in/report.csv", f.RemotePath)
	assert.Equal(t, "report.csv", f.Filename)
	assert.Equal(t, int64(42), f.Size)
	assert.Equal(t, epoch, f.ModTime)
	assert.Equal(t, o.Sidecar, f.Sidecar)
	assert.Equal(t, b.server.UUID, f.ServerUUID)
	assert.Equal(t, "acme", f.ServerName)
	assert.Zero(t, f.CompletedAt)
	assert.WithinDuration(t, time.Now(), f.CreatedAt, time.Hour)
	types, details := b.eventTypes(t, f.UUID)
	assert.Equal(t, []ingest.EventType{ingest.EventDiscovered}, types)
	assert.Equal(t, map[string]any{"path": "/in/report.csv", "source": "schedule"}, details)

	o.Sidecar.Path = "/in/report.csv.sha256"
	b.observe(t, o)
	assert.Equal(t, "/in/report.csv.sha256", b.only(t).Sidecar.Path, "the sidecar may come later than the file")
}

func TestHostileNamesAreKeptByteForByte(t *testing.T) {
	t.Parallel()
	b := setup(t)
	long := make([]byte, 9000) // incompressible, and larger than an index entry
	_, err := rand.Read(long)
	require.NoError(t, err)
	names := []string{
		"/in/\xff\xfe.bin", "/in/line\nbreak", "/in/\x00nul", "/in/\u202egpj.exe", "/in/" + strings.ReplaceAll(string(long), "/", "_"),
		"/in/'; DROP TABLE files; --", "/", "", "/in/\\x00nul",
	}
	var all []ingest.Observation
	for _, name := range names {
		all = append(all, seen(name, 1))
	}
	require.Equal(t, int64(len(names)), b.observe(t, all...).New)
	require.Zero(t, b.observe(t, all...).New)
	for i, f := range b.files(t) {
		assert.Equal(t, names[i], f.RemotePath)
		var display, filename string
		require.NoError(t, b.db.QueryRow(t.Context(), "SELECT remote_path, filename FROM files WHERE id = $1", f.ID).Scan(&display, &filename))
		assert.Equal(t, ingest.DisplayPath(names[i]), display)
		assert.Equal(t, ingest.DisplayPath(f.Filename), filename)
	}
}

func TestGrowingFileRestartsSettlingAsTheSameFile(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const settle = 10 * time.Second
	b.observe(t, seen("/a", 1))
	first := b.only(t)
	b.pass(t, time.Minute)
	promoted, settling := b.promote(t, settle)
	require.Equal(t, [2]int64{0, 1}, [2]int64{promoted, settling}, "time passed without another observation")

	require.Zero(t, b.observe(t, seen("/a", 2)).New)
	grown := b.only(t)
	assert.Equal(t, first.ID, grown.ID)
	assert.NotEqual(t, first.UUID, grown.UUID, "a uuid names a version")
	assert.Equal(t, int64(2), grown.Size)
	assert.True(t, grown.StableSince.After(first.StableSince.Add(-time.Minute)))
	promoted, settling = b.promote(t, settle)
	require.Equal(t, [2]int64{0, 1}, [2]int64{promoted, settling})

	touched := seen("/a", 2)
	touched.ModTime = epoch.Add(time.Second)
	b.pass(t, time.Minute)
	b.observe(t, touched)
	promoted, _ = b.promote(t, settle)
	require.Zero(t, promoted, "another time is another version")

	b.pass(t, time.Minute)
	b.observe(t, touched)
	promoted, settling = b.promote(t, settle)
	require.Equal(t, [2]int64{1, 0}, [2]int64{promoted, settling})
	f := b.only(t)
	assert.Equal(t, ingest.StatusReady, f.Status)
	types, details := b.eventTypes(t, f.UUID)
	assert.Equal(t, []ingest.EventType{ingest.EventDiscovered, ingest.EventSettled}, types)
	assert.Equal(t, map[string]any{"settle_sec": 10.0}, details)
}

// TestUUIDsFollowFromTheVersion: a ledger restored from an older backup must find the objects
// and notifications of the files that it lost.
func TestUUIDsFollowFromTheVersion(t *testing.T) {
	t.Parallel()
	lost, restored := setup(t), setup(t)
	again := lost.server
	again.Name = "acme-restored"
	var err error
	restored.server, err = restored.AddServer(t.Context(), again)
	require.NoError(t, err)
	raw := "/in/\xff \u202e.csv"

	lost.observe(t, seen(raw, 1)) // observed while it grew
	lost.observe(t, seen(raw, 2), seen("/in/b", 2))
	restored.observe(t, seen("/in/b", 2), seen(raw, 2))

	byPath := map[string]ingest.File{}
	for _, f := range lost.files(t) {
		byPath[f.RemotePath] = f
	}
	for _, f := range restored.files(t) {
		assert.Equal(t, byPath[f.RemotePath].UUID, f.UUID)
		f.CreatedAt = f.CreatedAt.AddDate(0, 2, 0)
		assert.Equal(t, ingest.ObjectKey(byPath[f.RemotePath]), ingest.ObjectKey(f), "regardless of when it is observed")
	}
	assert.Len(t, byPath, 2)
}

func TestNewVersionOfAnIngestedFileIsAnotherFile(t *testing.T) {
	t.Parallel()
	for _, way := range [][]ingest.Status{
		{},
		{ingest.StatusDownloading},
		{ingest.StatusDownloading, ingest.StatusDownloaded, ingest.StatusVerified, ingest.StatusUploading, ingest.StatusUploaded, ingest.StatusCompleted},
		{ingest.StatusError},
		{ingest.StatusSkipped},
	} {
		t.Run(fmt.Sprint(way), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			old := b.ready(t, "/a")
			b.walk(t, old.UUID, way...)
			require.Zero(t, b.observe(t, seen("/a", 10)).New, "the same version is known")
			require.Equal(t, int64(1), b.observe(t, seen("/a", 11)).New)
			files := b.files(t)
			require.Len(t, files, 2)
			assert.NotEqual(t, files[0].UUID, files[1].UUID)
			assert.Equal(t, ingest.StatusDiscovered, files[1].Status)
		})
	}
}

func TestVanishedFileReappears(t *testing.T) {
	t.Parallel()
	for _, gone := range []ingest.Status{ingest.StatusVanished, ingest.StatusSuperseded} {
		t.Run(string(gone), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			f := b.ready(t, "/a")
			owner, err := b.Claim(t.Context(), f.UUID)
			require.NoError(t, err)
			vanish := ingest.Change{
				FileUUID: f.UUID, To: gone, Events: []ingest.Event{{Type: ingest.EventVanished}},
				Set: ingest.Columns{Error: &ingest.Failure{Kind: ingest.KindNotFound, Message: "gone"}},
			}
			require.NoError(t, b.Apply(t.Context(), vanish))
			require.Equal(t, ingest.ScanCounts{Seen: 1}, b.observe(t, seen("/a", 10)))
			back := b.only(t)
			assert.Equal(t, ingest.StatusDiscovered, back.Status)
			assert.Equal(t, 1, back.Round)
			assert.Empty(t, back.ErrorKind)
			assert.Empty(t, back.ErrorMessage)
			err = b.Apply(t.Context(), ingest.Change{FileUUID: f.UUID, Fence: owner.Fence})
			requireKind(t, ingest.KindFenced, err, "attempt")

			b.promote(t, 0)
			vanish.To = ingest.StatusVanished
			require.NoError(t, b.Apply(t.Context(), vanish))
			types, _ := b.eventTypes(t, f.UUID)
			assert.Equal(t, []ingest.EventType{
				ingest.EventDiscovered, ingest.EventSettled, ingest.EventVanished,
				ingest.EventDiscovered, ingest.EventSettled, ingest.EventVanished,
			}, types, "a new round records its facts again")
		})
	}
}

func TestServerRevertsToAnOlderVersion(t *testing.T) {
	t.Parallel()
	b := setup(t)
	old := b.ready(t, "/a")
	b.walk(t, old.UUID, ingest.StatusSuperseded)
	b.observe(t, seen("/a", 11))
	require.Equal(t, ingest.ScanCounts{Seen: 1}, b.observe(t, seen("/a", 10)))
	files := b.files(t)
	require.Len(t, files, 2)
	assert.Equal(t, ingest.StatusDiscovered, files[0].Status, "the row has the server's version")
	assert.Equal(t, ingest.StatusSuperseded, files[1].Status)
	types, details := b.eventTypes(t, files[1].UUID)
	assert.Equal(t, []ingest.EventType{ingest.EventDiscovered, ingest.EventSuperseded}, types)
	assert.Equal(t, map[string]any{"step": "discover"}, details)

	b.promote(t, 0)
	b.observe(t, seen("/a", 11))
	b.observe(t, seen("/a", 10))
	files = b.files(t)
	require.Len(t, files, 2)
	assert.Equal(t, ingest.StatusReady, files[0].Status, "files in flight continue")
	assert.Equal(t, ingest.StatusSuperseded, files[1].Status)
}

func TestRejectedPathsAreRecordedOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bad := ingest.Observation{Path: "/in/../../etc", Size: -5, ModTime: epoch, Rejected: "leaves\x00the folder\xff"}
	require.Equal(t, ingest.ScanCounts{Seen: 1, Rejected: 1}, b.observe(t, bad))
	require.Equal(t, ingest.ScanCounts{Seen: 1}, b.observe(t, bad))
	bad.Size, bad.ModTime = 7, epoch.Add(time.Hour)
	require.Equal(t, ingest.ScanCounts{Seen: 1}, b.observe(t, bad), "a link that is touched daily is recorded once")
	f := b.only(t)
	assert.Equal(t, ingest.StatusRejected, f.Status)
	assert.Zero(t, f.Size)
	types, details := b.eventTypes(t, f.UUID)
	assert.Equal(t, []ingest.EventType{ingest.EventRejected}, types)
	assert.Equal(t, map[string]any{"reason": "leaves\ufffdthe folder\ufffd"}, details)
	promoted, settling := b.promote(t, 0)
	assert.Zero(t, promoted+settling)

	require.Equal(t, int64(1), b.observe(t, seen("/in/../../etc", 9)).New, "without the reason it is a file")
}

func TestRejectionSupersedesTheSettlingVersion(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int64{"same version": 1, "another version": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.observe(t, seen("/a", 1))
			link := seen("/a", size)
			link.Rejected = "symbolic link"
			b.observe(t, link)
			b.observe(t, link)
			promoted, settling := b.promote(t, 0)
			assert.Zero(t, promoted+settling)
			assert.Equal(t, ingest.StatusSuperseded, b.files(t)[0].Status)
			b.observe(t, seen("/a", 1))
			assert.Equal(t, ingest.StatusDiscovered, b.files(t)[0].Status)
		})
	}
}

func TestInvalidSizeIsRejected(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.Equal(t, ingest.ScanCounts{Seen: 1, Rejected: 1}, b.observe(t, seen("/a", -1)))
	_, details := b.eventTypes(t, b.only(t).UUID)
	require.Equal(t, map[string]any{"reason": "has an invalid size, -1"}, details)
}

func TestNameTwiceInOneBatch(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.Equal(t, ingest.ScanCounts{Seen: 3, New: 2}, b.observe(t, seen("/a", 1), seen("/b", 1), seen("/a", 2)))
	files := b.files(t)
	require.Len(t, files, 2)
	require.Equal(t, int64(2), files[0].Size, "the later entry counts")
}

func TestServersDoNotShareFiles(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.observe(t, seen("/a", 1))
	b.server = b.addServer(t, "other")
	require.Equal(t, int64(1), b.observe(t, seen("/a", 1)).New)
	b.only(t)
}

func TestConcurrentListingsLeaveOneRowEach(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const listings, n = 6, 300
	made := make([]int64, listings)
	var group errgroup.Group
	for i := range listings {
		group.Go(func() error {
			all := paths("/in", n)
			if i%2 == 1 { // in reverse order, so that they collide
				for l, r := 0, n-1; l < r; l, r = l+1, r-1 {
					all[l], all[r] = all[r], all[l]
				}
			}
			for batch := range 3 {
				counts, err := b.Observe(t.Context(), b.server.UUID, "schedule", all[batch*100:(batch+1)*100])
				if err != nil {
					return err
				}
				made[i] += counts.New
			}
			_, _, err := b.Promote(t.Context(), ingest.Server{UUID: b.server.UUID, Settle: time.Hour})
			return err
		})
	}
	require.NoError(t, group.Wait())
	var total int64
	for _, k := range made {
		total += k
	}
	assert.Equal(t, int64(n), total)
	assert.Len(t, b.files(t), n)
	var events int
	require.NoError(t, b.db.QueryRow(t.Context(), "SELECT count(*) FROM file_events").Scan(&events))
	assert.Equal(t, n, events)
}

// TestAnUnchangedListingOnlyReads: the listing waits for no lock and writes nothing.
func TestAnUnchangedListingOnlyReads(t *testing.T) {
	t.Parallel()
	b := setup(t)
	known, rejected := seen("/in/a.csv", 1), seen("/in/b\n.csv", 2)
	rejected.Rejected = "its name has a line break"
	b.observe(t, known, rejected)
	b.promote(t, 0)
	// A row lock would leave its transaction id in the row.
	locked := func() (by string) {
		require.NoError(t, b.db.QueryRow(t.Context(), "SELECT xmax::text FROM sftp_servers WHERE server_uuid = $1", b.server.UUID).Scan(&by))
		return by
	}
	before := locked()
	other, err := b.db.Begin(t.Context())
	require.NoError(t, err)
	_, err = other.Exec(t.Context(), "LOCK TABLE files, file_events, scans IN SHARE MODE")
	require.NoError(t, err)
	patience, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	counts, err := b.Observe(patience, b.server.UUID, "schedule", []ingest.Observation{known, rejected})
	require.NoError(t, err, "nothing can be written meanwhile")
	require.Equal(t, ingest.ScanCounts{Seen: 2}, counts)
	require.NoError(t, other.Rollback(t.Context()))
	require.Equal(t, before, locked())

	known.Size++
	require.EqualValues(t, 1, b.observe(t, known, rejected).New)
	require.NotEqual(t, before, locked())
}

func TestManyObservations(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const batches, size = 20, 1000
	for pass := range 2 {
		for i := range batches {
			counts := b.observe(t, paths(fmt.Sprintf("/in/%02d", i), size)...)
			require.Equal(t, int64(size)*int64(1-pass), counts.New)
		}
	}
	promoted, settling := b.promote(t, 0)
	require.Equal(t, [2]int64{batches * size, 0}, [2]int64{promoted, settling})
	counts, err := b.CountFiles(t.Context(), nil)
	require.NoError(t, err)
	require.Equal(t, map[ingest.Status]int64{ingest.StatusReady: batches * size}, counts)
}

func TestPromoteKeepsTheServersRules(t *testing.T) {
	t.Parallel()
	b := setup(t)
	young, old := seen("/young", 1), seen("/old", 1)
	young.ModTime, old.ModTime = time.Now().UTC(), time.Now().UTC().Add(-2*time.Hour)
	marked, checked := seen("/marked", 1), seen("/checked", 1)
	checked.ModTime = time.Now().UTC()
	marked.WaitsFor, checked.Sidecar.Path = "its done-marker", "/checked.sha256"
	ahead := seen("/ahead", 1) // its server's clock is a day ahead
	ahead.ModTime = time.Now().UTC().Add(24 * time.Hour)
	all := []ingest.Observation{young, old, marked, checked, ahead}
	promote := func(change func(*ingest.Server)) (paths []string) {
		server := ingest.Server{UUID: b.server.UUID, Settle: time.Minute}
		change(&server)
		_, _, err := b.Promote(t.Context(), server)
		require.NoError(t, err)
		for _, f := range b.files(t) {
			if f.Status == ingest.StatusReady {
				paths = append(paths, f.RemotePath)
			}
		}
		return paths
	}
	look := func() {
		b.pass(t, 10*time.Minute)
		b.observe(t, all...)
	}
	b.observe(t, all...)
	look()
	assert.Empty(t, promote(func(s *ingest.Server) { s.MinAge, s.SidecarWait = 3*time.Hour, 24*time.Hour }))
	assert.Equal(t, []string{"/checked"}, promote(func(s *ingest.Server) { s.SidecarWait = time.Hour }))
	assert.Equal(t, []string{"/old", "/checked"}, promote(func(s *ingest.Server) { s.MinAge = time.Hour }))
	assert.Equal(t, []string{"/young", "/old", "/checked", "/ahead"}, promote(func(s *ingest.Server) { s.MinAge = 5 * time.Minute }),
		"a wrong clock holds nothing up for ever")
	all[2].WaitsFor = ""
	look()
	assert.Len(t, promote(func(*ingest.Server) {}), 5)
}
