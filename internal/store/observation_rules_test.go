package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

// complete are the statuses of an ingested file.
var complete = []ingest.Status{
	ingest.StatusDownloading, ingest.StatusDownloaded, ingest.StatusVerified, ingest.StatusUploading, ingest.StatusUploaded, ingest.StatusCompleted,
}

// ingested records files and completes them, an hour ago.
func (b *testBundle) ingested(t *testing.T, all ...ingest.Observation) {
	t.Helper()
	b.observe(t, all...)
	b.promote(t, 0)
	for _, f := range b.files(t) {
		if f.Status == ingest.StatusReady {
			b.walk(t, f.UUID, complete...)
		}
	}
	b.pass(t, time.Hour)
	b.exec(t, "UPDATE files SET completed_at = completed_at - interval '1 hour'")
}

// set changes the server's settings.
func (b *testBundle) set(t *testing.T, change func(*ingest.Server)) {
	t.Helper()
	var err error
	b.server, err = b.EditServer(t.Context(), b.server.UUID, func(s ingest.Server) (ingest.Server, error) {
		change(&s)
		return s, nil
	})
	require.NoError(t, err)
}

// listed lists the files and ends the listing. It returns the note of the listing and the
// numbers of files made ready and settling.
func (b *testBundle) listed(t *testing.T, all ...ingest.Observation) (note string, promoted, settling int64) {
	t.Helper()
	l := ingest.Listed{Seen: int64(len(all)), Took: time.Second, Whole: true}
	for len(all) > 0 { // in batches, like a listing
		n := min(len(all), 100)
		counts, err := b.Observe(t.Context(), b.server.UUID, "test", all[:n])
		require.NoError(t, err)
		l.Same += counts.Same
		all = all[n:]
	}
	b.checkMoves(t)
	note, err := b.HoldChanges(t.Context(), b.server, l)
	require.NoError(t, err)
	promoted, settling = b.promote(t, 0)
	return note, promoted, settling
}

// look observes files by STAT.
func (b *testBundle) look(t *testing.T, all ...ingest.Observation) {
	t.Helper()
	_, err := b.Observe(t.Context(), b.server.UUID, "recheck", all)
	require.NoError(t, err)
}

func shifted(all []ingest.Observation, by time.Duration) []ingest.Observation {
	moved := make([]ingest.Observation, len(all))
	for i, o := range all {
		o.ModTime = o.ModTime.Add(by)
		moved[i] = o
	}
	return moved
}

func (b *testBundle) attention(t *testing.T) ingest.Attention {
	t.Helper()
	all, err := b.Attention(t.Context(), b.server.UUID)
	require.NoError(t, err)
	return all[b.server.UUID]
}

func (b *testBundle) count(t *testing.T, status ingest.Status) (n int) {
	t.Helper()
	for _, f := range b.files(t) {
		if f.Status == status {
			n++
		}
	}
	return n
}

// TestAMassOfShiftedTimesIsHeld: 300 files whose times shifted by an hour are not ingested again
// before an operator action; new files continue.
func TestAMassOfShiftedTimesIsHeld(t *testing.T) {
	t.Parallel()
	for _, decision := range []ingest.ChangesDecision{ingest.ChangesSame, ingest.ChangesTake} {
		t.Run(string(decision), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			all := paths("/d", 300)
			b.ingested(t, all...)
			moved := append(shifted(all, time.Hour), seen("/d/new.csv", 5))
			note, promoted, settling := b.listed(t, moved...)
			assert.Contains(t, note, "300 known files look new because their times shifted by exactly 1h0m0s")
			assert.Equal(t, [2]int64{1, 0}, [2]int64{promoted, settling}, "held files are not counted as settling")
			held := b.attention(t).Held
			assert.EqualValues(t, 300, held.Files)
			assert.Equal(t, []ingest.HeldPart{{Shift: time.Hour, Files: 300}}, held.Parts)
			f := b.files(t)[300]
			assert.Contains(t, f.WaitsFor, "an operator's decision")

			// Neither a STAT nor another listing releases them.
			b.pass(t, time.Hour)
			b.look(t, moved[:10]...)
			_, promoted, _ = b.listed(t, moved...)
			assert.Zero(t, promoted)

			for range 2 { // the response may be lost
				n, err := b.DecideChanges(t.Context(), b.server.UUID, decision, "", "ann", "summer time", "key")
				require.NoError(t, err)
				_ = n
			}
			assert.Zero(t, b.attention(t).Held.Files)
			_, details := b.eventTypes(t, f.UUID)
			b.pass(t, time.Hour)
			_, promoted, _ = b.listed(t, moved...)
			if decision == ingest.ChangesTake {
				assert.EqualValues(t, 300, promoted)
				assert.Equal(t, map[string]any{"action": "take", "actor": "ann", "reason": "summer time"}, details)
				return
			}
			assert.Zero(t, promoted)
			assert.Equal(t, 300, b.count(t, ingest.StatusSuperseded))
			for _, by := range []time.Duration{0, time.Hour, 0} { // winter, and summer again
				_, promoted, settling = b.listed(t, shifted(all, by)...)
				assert.Zero(t, promoted+settling)
			}
			assert.Len(t, b.files(t), 601)
		})
	}
}

// TestChangesThatAreNotHeld: fewer than the threshold, different shifts while most files are
// unchanged, other sizes, files removed after ingest, and a server that disables holding.
func TestChangesThatAreNotHeld(t *testing.T) {
	t.Parallel()
	each := func(all []ingest.Observation) []ingest.Observation {
		var moved []ingest.Observation
		for i, o := range all {
			o.ModTime = o.ModTime.Add(time.Duration(i+1) * time.Minute)
			moved = append(moved, o)
		}
		return moved
	}
	for name, tc := range map[string]struct {
		files int
		set   func(*ingest.Server)
		seen  int64
		moved func([]ingest.Observation) []ingest.Observation
		gone  bool
		held  bool
	}{
		"few":          {files: 100, moved: func(a []ingest.Observation) []ingest.Observation { return shifted(a, time.Hour+time.Second) }},
		"one too many": {files: 101, moved: func(a []ingest.Observation) []ingest.Observation { return shifted(a, time.Hour+time.Second) }, held: true},
		"fewer allowed": {files: 11, set: func(s *ingest.Server) { s.HoldChanges = 10 }, held: true,
			moved: func(a []ingest.Observation) []ingest.Observation { return shifted(a, -time.Hour) }},
		"never": {files: 200, set: func(s *ingest.Server) { s.HoldChanges = -1 },
			moved: func(a []ingest.Observation) []ingest.Observation { return shifted(a, time.Hour) }},
		"a part sent again": {files: 150, seen: 1000, moved: each},
		"all by something":  {files: 150, seen: 200, moved: each, held: true},
		"gone after ingest": {files: 150, gone: true, moved: func(a []ingest.Observation) []ingest.Observation { return shifted(a, time.Hour) }},
		"of another size too": {files: 150, moved: func(a []ingest.Observation) []ingest.Observation {
			for i := range a {
				a[i].Size++
			}
			return shifted(a, time.Hour)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			if tc.set != nil {
				b.set(t, tc.set)
			}
			all := paths("/d", tc.files)
			b.ingested(t, all...)
			if tc.gone {
				b.exec(t, "UPDATE files SET source_gone_at = now()")
			}
			b.observe(t, tc.moved(all)...)
			_, err := b.HoldChanges(t.Context(), b.server, ingest.Listed{Seen: max(tc.seen, int64(tc.files))})
			require.NoError(t, err)
			promoted, _ := b.promote(t, 0)
			if tc.held {
				assert.Zero(t, promoted)
				assert.EqualValues(t, tc.files, b.attention(t).Held.Files)
			} else {
				assert.EqualValues(t, tc.files, promoted)
				assert.Zero(t, b.attention(t).Held.Files)
			}
		})
	}
}

// TestAnInterruptedListingReleasesNothing: its files wait until a listing has completed,
// however few they are.
func TestAnInterruptedListingReleasesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	all := paths("/d", 150)
	b.ingested(t, all...)
	moved := shifted(all, time.Hour)
	b.observe(t, moved[:60]...)
	promoted, _ := b.promote(t, 0)
	require.Zero(t, promoted, "a STAT of settling files does not promote them")
	_, promoted, _ = b.listed(t, moved...)
	require.Zero(t, promoted)
	require.EqualValues(t, 150, b.attention(t).Held.Files)
}

// TestATimeChangedByOurReading: files are held immediately if reading them changes their times.
func TestATimeChangedByOurReading(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.observe(t, seen("/a", 10))
	b.promote(t, 0)
	b.walk(t, b.only(t).UUID, complete...)
	read := seen("/a", 10)
	read.ModTime = time.Now().UTC()
	_, promoted, _ := b.listed(t, read)
	assert.Zero(t, promoted)
	assert.EqualValues(t, 1, b.attention(t).Held.Files)
}

// TestIdentity: the server's rule decides whether a new time is a new version.
func TestIdentity(t *testing.T) {
	t.Parallel()
	for identity, rows := range map[ingest.Identity]int{ingest.IdentitySizeTime: 2, ingest.IdentitySize: 1, ingest.IdentitySizeHash: 2} {
		t.Run(string(identity), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.set(t, func(s *ingest.Server) { s.Identity = identity })
			b.ingested(t, seen("/a", 10))
			hash := "abc"
			require.NoError(t, b.Apply(t.Context(), ingest.Change{FileUUID: b.only(t).UUID, Set: ingest.Columns{Hash: &hash}}))
			_, promoted, _ := b.listed(t, shifted([]ingest.Observation{seen("/a", 10)}, time.Hour)...)
			assert.EqualValues(t, rows-1, promoted)
			files := b.files(t)
			require.Len(t, files, rows)
			if identity == ingest.IdentitySizeHash {
				require.Equal(t, "abc", files[1].KnownHash)
				require.Error(t, files[1].SameContent("abc"))
				require.NoError(t, files[1].SameContent("abd"))
				why := ingest.Failure{Step: ingest.StepDownload, Kind: ingest.KindSameContent, Message: "the same"}
				b.walk(t, files[1].UUID, ingest.StatusDownloading)
				claimed, err := b.Claim(t.Context(), files[1].UUID)
				require.NoError(t, err)
				require.NoError(t, b.Apply(t.Context(), ingest.RemovedFromServer(claimed, ingest.StatusSuperseded, why)))
				_, promoted, settling := b.listed(t, shifted([]ingest.Observation{seen("/a", 10)}, time.Hour)...)
				assert.Zero(t, promoted+settling, "already ingested")
				_, promoted, _ = b.listed(t, shifted([]ingest.Observation{seen("/a", 10)}, 2*time.Hour)...)
				assert.EqualValues(t, 1, promoted, "another time: read once more")
				assert.Len(t, b.files(t), 2, "in the same row")
			}
			_, promoted, _ = b.listed(t, seen("/a", 11))
			assert.EqualValues(t, 1, promoted, "another size is another version by any rule")
		})
	}
}

// TestADeliveryAfterDeletionIsNew: the new delivery has the size of the previous one, and
// times are ignored.
func TestADeliveryAfterDeletionIsNew(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.set(t, func(s *ingest.Server) { s.Identity = ingest.IdentitySize })
	b.ingested(t, seen("/a", 10))
	b.exec(t, "UPDATE files SET source_gone_at = now()")
	_, promoted, _ := b.listed(t, shifted([]ingest.Observation{seen("/a", 10)}, time.Hour)...)
	require.EqualValues(t, 1, promoted)
}

// at is a file with a time in seconds after the epoch.
func at(path string, size int64, seconds int) ingest.Observation {
	o := seen(path, size)
	o.ModTime = epoch.Add(time.Duration(seconds) * time.Second)
	return o
}

// TestATimeThatFollowsTheClock: such a time is recognized after some observations and
// given up with a reason. The file is ingested once its time is stable. With times
// ignored it settles normally.
func TestATimeThatFollowsTheClock(t *testing.T) {
	t.Parallel()
	b := setup(t)
	now := 0
	look := func() {
		b.pass(t, 7*time.Minute)
		now += 7 * 60
		b.look(t, at("/a", 10, now))
		b.promote(t, time.Second)
	}
	b.observe(t, at("/a", 10, now))
	for range ingest.ClockChanges {
		look()
	}
	f := b.only(t)
	require.Equal(t, ingest.StatusDiscovered, f.Status)
	require.Contains(t, f.WaitsFor, "the current time at each observation; set `--identity size`")
	for range ingest.UnsettledChanges {
		b.exec(t, "UPDATE files SET unsettled_since = unsettled_since - interval '7 minutes'")
		look()
	}
	f = b.only(t)
	require.Equal(t, ingest.StatusError, f.Status)
	require.Equal(t, ingest.KindUnsettled, f.ErrorKind)
	require.Contains(t, f.ErrorMessage, "the server reports the current time as its time; set `--identity size`")
	types, _ := b.eventTypes(t, f.UUID)
	for range 5 {
		look()
	}
	after, _ := b.eventTypes(t, b.only(t).UUID)
	require.Equal(t, types, after, "no further events")
	abandoned, err := b.UnchangedFiles(t.Context(), 0, 0, 10)
	require.NoError(t, err)
	require.Empty(t, abandoned, "an unsettled file has no workflow")

	b.set(t, func(s *ingest.Server) { s.Identity = ingest.IdentitySize })
	for range 2 {
		look()
	}
	f = b.only(t)
	require.Equal(t, ingest.StatusReady, f.Status)
	require.Empty(t, f.ErrorMessage)
}

// TestAFileThatGrowsForHours: growing for less than a day is no failure.
func TestAFileThatGrowsForHours(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.observe(t, at("/a", 1, 0))
	grow := func(n int64) {
		b.pass(t, time.Hour)
		b.exec(t, "UPDATE files SET unsettled_since = unsettled_since - interval '1 hour'")
		b.look(t, at("/a", n, int(n)))
	}
	for n := range int64(20) {
		grow(n + 2)
	}
	f := b.only(t)
	require.Equal(t, ingest.StatusDiscovered, f.Status)
	require.Contains(t, f.WaitsFor, "they changed at each of 20 observations")
	for n := range int64(5) {
		grow(n + 30)
	}
	require.Equal(t, ingest.StatusError, b.only(t).Status)
	b.pass(t, time.Minute)
	b.look(t, at("/a", 34, 34))
	promoted, _ := b.promote(t, 10*time.Second)
	require.EqualValues(t, 1, promoted, "the observed file is complete")
}

// foundChanged ends the ready file as changed while it was read.
func (b *testBundle) foundChanged(t *testing.T) {
	t.Helper()
	for _, f := range b.files(t) {
		if f.Status != ingest.StatusReady {
			continue
		}
		b.walk(t, f.UUID, ingest.StatusDownloading)
		claimed, err := b.Claim(t.Context(), f.UUID)
		require.NoError(t, err)
		why := ingest.Failure{Step: ingest.StepDownload, Kind: ingest.KindChanged, Message: "the file grew"}
		require.NoError(t, b.Apply(t.Context(), ingest.RemovedFromServer(claimed, ingest.StatusSuperseded, why)))
	}
}

// TestAFileThatChangesAtEachRead: the file ends with an error after some attempts, with few
// rows, and is retried ever less often.
func TestAFileThatChangesAtEachRead(t *testing.T) {
	t.Parallel()
	for name, step := range map[string]int{"another time": 60, "unchanged": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			now := 0
			scan := func() (promoted int64) {
				_, promoted, _ = b.listed(t, at("/a", 10, now))
				b.look(t, at("/a", 10, now))
				p, _ := b.promote(t, 0)
				b.foundChanged(t)
				now += step
				return promoted + p
			}
			for range ingest.MaxFailedReads {
				require.EqualValues(t, 1, scan())
			}
			for range 5 {
				require.Zero(t, scan())
			}
			files := b.files(t)
			require.LessOrEqual(t, len(files), ingest.MaxFailedReads+1)
			f := files[len(files)-1]
			require.Equal(t, ingest.StatusError, f.Status)
			require.Contains(t, f.ErrorMessage, fmt.Sprintf("it changed during each of %d attempts to read it", ingest.MaxFailedReads))
			require.Contains(t, f.ErrorMessage, "(last attempt: the file grew)")
			types, _ := b.eventTypes(t, f.UUID)
			require.Zero(t, scan())
			after, _ := b.eventTypes(t, b.files(t)[len(files)-1].UUID)
			require.Equal(t, types, after)

			again := func(unchanged time.Duration) (promoted int64) {
				b.pass(t, unchanged)
				now -= step // it is unchanged
				b.observe(t, at("/a", 10, now))
				promoted, _ = b.promote(t, 0)
				b.foundChanged(t)
				now += step
				return promoted
			}
			require.Zero(t, again(50*time.Minute))
			require.EqualValues(t, 1, again(time.Hour))
			scan()
			require.Zero(t, again(time.Hour), "the delay has doubled")
			require.EqualValues(t, 1, again(90*time.Minute))
			require.Len(t, b.files(t), len(files))
		})
	}
}

// TestAListedFileThatIsNeverFound: the names of some files cannot be opened. Such a file fails
// after some attempts, and recovers with growing delays.
func TestAListedFileThatIsNeverFound(t *testing.T) {
	t.Parallel()
	b := setup(t)
	file := seen("/a ", 10)
	for range ingest.MaxFailedReads {
		b.observe(t, file)
		require.Equal(t, ingest.StatusDiscovered, b.only(t).Status)
		require.NoError(t, b.Apply(t.Context(), ingest.VanishedWhileSettling(b.only(t))))
	}
	for range 2 {
		b.observe(t, file)
		require.Equal(t, ingest.StatusError, b.only(t).Status)
		require.Contains(t, b.only(t).ErrorMessage, fmt.Sprintf("reported %d times that it does not exist", ingest.MaxFailedReads))
	}
	b.pass(t, time.Hour)
	b.observe(t, file)
	promoted, _ := b.promote(t, 0)
	require.EqualValues(t, 1, promoted)
}

// TestListingAndStatDisagree: the STAT takes precedence, and there is only one row, however
// often the server is listed.
func TestListingAndStatDisagree(t *testing.T) {
	t.Parallel()
	for name, as := range map[string]ingest.Observation{"size": seen("/a", 4096), "time": at("/a", 1000, 3600)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			really := seen("/a", 1000)
			settle := func() int64 {
				b.pass(t, time.Minute)
				b.look(t, really)
				promoted, _ := b.promote(t, time.Second)
				return promoted
			}
			b.observe(t, as)
			settle()
			b.observe(t, as)
			require.EqualValues(t, 1, settle())
			f := b.only(t)
			require.EqualValues(t, 1000, f.Size)
			require.Equal(t, as.Size, f.ShownSize)
			require.Contains(t, f.Notes(time.Now())[0].String(), "listings show")
			b.walk(t, f.UUID, complete...)
			for range 3 {
				note, promoted, settling := b.listed(t, as)
				require.Zero(t, promoted+settling)
				require.Contains(t, note, "1 file is listed with a size or time that differs")
			}
			b.only(t)
			really.Size = 1001 // a real replacement
			b.observe(t, at("/a", 8192, 7200))
			settle()
			require.EqualValues(t, 1, settle())

			// A listing that agrees clears the difference.
			b.observe(t, seen("/a", 1000))
			require.Zero(t, b.files(t)[0].ShownSize)
		})
	}
}

// TestAWrongListingIsCheckedByStat: without a settle time the file is ingested as listed; if
// that was wrong, a STAT is required before the next ingest.
func TestAWrongListingIsCheckedByStat(t *testing.T) {
	t.Parallel()
	b := setup(t)
	as, really := seen("/a", 4096), seen("/a", 1000)
	_, promoted, _ := b.listed(t, as)
	require.EqualValues(t, 1, promoted)
	b.foundChanged(t)
	_, promoted, settling := b.listed(t, as)
	require.Equal(t, [2]int64{0, 1}, [2]int64{promoted, settling})
	b.look(t, really)
	promoted, _ = b.promote(t, 0)
	require.EqualValues(t, 1, promoted)
	require.EqualValues(t, 1000, b.only(t).Size)
	b.walk(t, b.only(t).UUID, complete...)
	_, promoted, settling = b.listed(t, as)
	require.Zero(t, promoted+settling)
	b.only(t)
}

// TestResent: a file deleted after ingest is shown again with the same size and time.
func TestResent(t *testing.T) {
	t.Parallel()
	for _, rule := range []ingest.Resent{ingest.ResentShow, ingest.ResentDeliver} {
		t.Run(string(rule), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.set(t, func(s *ingest.Server) { s.Resent = rule })
			b.ingested(t, seen("/a", 10))
			f := b.only(t)
			b.listed(t, seen("/a", 10))
			require.Zero(t, b.attention(t).Resent, "the source was not deleted")
			claimed, err := b.Claim(t.Context(), f.UUID)
			require.NoError(t, err)
			require.NoError(t, b.Apply(t.Context(), ingest.SourceDone(claimed, "", map[string]any{"action": "delete"})))
			require.NotZero(t, b.only(t).SourceGoneAt)

			_, promoted, _ := b.listed(t, seen("/a", 10))
			require.Zero(t, promoted+b.attention(t).Resent, "a listing that began before may show it once more")
			note, promoted, _ := b.listed(t, seen("/a", 10))
			if rule == ingest.ResentDeliver {
				require.EqualValues(t, 1, promoted)
				files := b.files(t)
				require.Len(t, files, 2)
				require.NotEqual(t, files[0].UUID, files[1].UUID, "another object, another message")
				require.Equal(t, 1, files[1].Delivery)
				_, promoted, settling := b.listed(t, seen("/a", 10))
				require.Zero(t, promoted+settling, "once")
				require.Zero(t, b.attention(t).Resent)
				b.pretendsToDelete(t)
				return
			}
			require.Zero(t, promoted)
			require.Contains(t, note, "1 file is on the server again")
			require.EqualValues(t, 1, b.attention(t).Resent)
			require.Contains(t, b.only(t).Notes(time.Now())[0].String(), "deleted or moved on the server")
			b.exec(t, "UPDATE files SET resent_at = resent_at - interval '1 minute'")
			b.listed(t)
			require.Zero(t, b.attention(t).Resent, "removed again")
		})
	}
}

// pretendsToDelete: the server confirms the deletion of the file but still lists it.
func (b *testBundle) pretendsToDelete(t *testing.T) {
	t.Helper()
	const deliveries = 4 // the first, and three more without delay
	next := func() int {
		for range 3 {
			b.listed(t, seen("/a", 10))
		}
		files := b.files(t)
		last := files[len(files)-1]
		if last.Status != ingest.StatusCompleted {
			b.walk(t, last.UUID, complete...)
		}
		b.exec(t, "UPDATE files SET source_gone_at = now() WHERE source_gone_at IS NULL")
		return len(files)
	}
	for range 6 {
		next()
	}
	require.Equal(t, deliveries, next())
	b.exec(t, "UPDATE files SET source_gone_at = now() - interval '25 hours'")
	require.Equal(t, deliveries+1, next())
	require.Equal(t, deliveries+1, next())
}

// TestSourceGoneIsRecorded: a source that was kept is not recorded as gone.
func TestSourceGoneIsRecorded(t *testing.T) {
	t.Parallel()
	for gone, details := range map[bool][]map[string]any{
		true:  {{"action": "delete"}, {"action": "move:/x", "moved_to": "/x/a"}, {"action": "delete", "found": ingest.FoundGone}},
		false: {{"action": "delete", "found": "another version, which is left alone"}, {"action": "move:/x", "found": "the name taken"}},
	} {
		for _, d := range details {
			assert.Equal(t, gone, ingest.SourceDone(ingest.File{}, "", d).Set.SourceGone, "%v", d)
		}
	}
}

// TestSettlingEndsAtTheLastObservation: elapsed time alone does not count.
func TestSettlingEndsAtTheLastObservation(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.observe(t, seen("/a", 1))
	b.pass(t, time.Hour)
	promoted, settling := b.promote(t, 10*time.Second)
	require.Equal(t, [2]int64{0, 1}, [2]int64{promoted, settling})
	b.observe(t, seen("/a", 1))
	promoted, _ = b.promote(t, 10*time.Second)
	require.EqualValues(t, 1, promoted)
}

// TestTheNotesOfAListing: the notes report unusual times.
func TestTheNotesOfAListing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	note, err := b.HoldChanges(t.Context(), b.server, ingest.Listed{Seen: 3, NoTime: 2, Future: 1})
	require.NoError(t, err)
	assert.Equal(t, "2 of 3 entries have no modification time: replacements of the same size cannot be detected; 1 file has a modification time in the future", note)
	scan, err := b.StartScan(t.Context(), b.server.UUID, "k")
	require.NoError(t, err)
	require.NoError(t, b.FinishScan(t.Context(), ingest.ScanResult{ScanID: scan, ServerUUID: b.server.UUID, Note: note}))
	latest := b.latestScan(t)
	assert.Equal(t, note, latest.Note)
	assert.Equal(t, note, b.attention(t).LastScan.Note)
	require.NoError(t, b.FinishScan(t.Context(), ingest.ScanResult{Key: "try", ServerUUID: b.server.UUID, Note: "other"}))
	assert.Equal(t, "other", b.attention(t).LastScan.Note)
}

// TestCompanionsWhereTimesMeanNothing: a done-marker and a checksum file still belong to their
// file when a listing shows another time, or differs from a STAT. Companions of a version of
// another size are stale.
func TestCompanionsWhereTimesMeanNothing(t *testing.T) {
	t.Parallel()
	var written time.Duration
	with := func(size int64, at time.Time) ingest.Observation {
		o := seen("/a", size)
		o.ModTime = at
		o.Sidecar = ingest.Companion{Path: "/a.sha256", Size: 3, ModTime: epoch.Add(written)}
		o.Marker = ingest.Companion{Path: "/a.done", ModTime: epoch.Add(written)}
		return o
	}
	for _, timeless := range []bool{true, false} {
		b := setup(t)
		if written = time.Hour; timeless {
			written = -time.Hour // reading the file changed its time
		}
		second := with(10, epoch.Add(time.Minute))
		if timeless {
			b.set(t, func(s *ingest.Server) { s.Identity = ingest.IdentitySize })
			b.observe(t, with(10, epoch))
			b.observe(t, second)
		} else {
			b.observe(t, second)
			b.look(t, with(10, epoch)) // takes precedence
			assert.Contains(t, b.only(t).WaitsFor, "a new done-marker", "it may have changed since the listing")
			b.observe(t, second)
			require.NotZero(t, b.only(t).ShownTime)
			b.look(t, with(10, epoch))
		}
		f := b.only(t)
		assert.False(t, f.SidecarStale, "timeless: %t", timeless)
		assert.Empty(t, f.WaitsFor, "timeless: %t", timeless)
		b.observe(t, with(11, epoch))
		assert.True(t, b.only(t).SidecarStale)
		assert.Contains(t, b.only(t).WaitsFor, "a new done-marker")
	}
}
