package audit_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/audit"
	"stevedore/internal/ingest"
)

func TestStoredFindsNothingInACorrectSystem(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 2, 3, 4, 20} {
		for _, deep := range []bool{false, true} {
			w := newFixture(n)
			lines, sum, err := w.stored(t, func(a *audit.Auditor) { a.Deep = deep })
			require.NoError(t, err)
			require.Empty(t, lines)
			require.EqualValues(t, n, sum.Files)
			require.EqualValues(t, n, sum.Objects)
			require.EqualValues(t, n*(n+1)/2, sum.Bytes)
			require.Equal(t, deep && n > 0, w.deep.Load() > 0)
		}
	}
}

func TestStoredFindsEachDiscrepancyOnce(t *testing.T) {
	t.Parallel()
	const key = "files/004"
	for name, tc := range map[string]struct {
		damage func(w *fixture, f *ingest.File)
		want   string
		sides  string
		deep   bool
	}{
		"object gone": {func(w *fixture, _ *ingest.File) { delete(w.objects, key) }, "- acme:/out/004: there is no object files/004", "?=-=", false},
		"no key": {func(w *fixture, f *ingest.File) {
			f.ObjectKey = ""
			delete(w.objects, key)
		}, "- acme:/out/004: it is completed and its row has no object key", "?!-=", false},
		"size": {func(w *fixture, _ *ingest.File) { w.objects[key] = ingest.Object{Key: key, Size: 5, SHA256: "h4"} },
			"! acme:/out/004: object files/004 has 5 bytes, the row 4 bytes", "?=!=", false},
		"metadata": {func(w *fixture, _ *ingest.File) { w.objects[key] = ingest.Object{Key: key, Size: 4, SHA256: "x"} },
			"! acme:/out/004: object files/004 has SHA-256 x in its metadata, the row has h4", "?=!=", false},
		"no metadata": {func(w *fixture, _ *ingest.File) { w.objects[key] = ingest.Object{Key: key, Size: 4} },
			"! acme:/out/004: object files/004 has no SHA-256 in its metadata", "?=!=", false},
		"bytes": {func(w *fixture, _ *ingest.File) { w.bytes[key] = "y" },
			"! acme:/out/004: object files/004 has bytes of SHA-256 y, the row has h4", "?=!=", true},
		"failed": {func(_ *fixture, f *ingest.File) { f.Status, f.ErrorMessage = ingest.StatusError, "disk on fire" },
			"! acme:/out/004: it waits for an operator: disk on fire", "?!??", false},
		"not notified": {func(w *fixture, _ *ingest.File) { w.file(4).Events = w.file(4).Events[:7] },
			"- acme:/out/004: the ledger has no event amqp_notify_sent: its notification may not have been published", "?==-", false},
		"not notified in a later round": {func(w *fixture, f *ingest.File) { w.file(4).Events, f.Round = nil, 1 },
			"- acme:/out/004: the ledger has no event amqp_notify_sent: its notification may not have been published", "?==-", false},
		"event missing": {func(w *fixture, _ *ingest.File) { w.file(4).Events = w.file(4).Events[1:] },
			fmt.Sprintf("! acme:/out/004: its events are %v, expected %v", allEvents[1:], allEvents), "?!==", false},
		"object cannot be read": {func(w *fixture, _ *ingest.File) { w.broken[key] = true },
			"? acme:/out/004: object files/004 could not be read: timeout", "?=?=", false},
		"stray object": {func(w *fixture, _ *ingest.File) { w.objects["files/\x1b"] = ingest.Object{} },
			`+ files/\x1b: the store has an object without a row`, "?-+?", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newFixture(7)
			tc.damage(w, &w.file(4).File)
			lines, sum, err := w.stored(t, func(a *audit.Auditor) { a.Deep = tc.deep })
			require.NoError(t, err)
			require.Equal(t, []string{tc.want}, lines)
			require.Equal(t, tc.sides, signs(w.found[0].Sides))
			require.EqualValues(t, 7, sum.Files)
			require.EqualValues(t, 1, sum.Discrepancies())
			var one ingest.AuditCounts
			one.Count(ingest.AuditMark(tc.want[:1]))
			require.Equal(t, [4]int64{one.Missing, one.Extra, one.Wrong, one.NotAudited}, [4]int64{sum.Missing, sum.Extra, sum.Wrong, sum.NotAudited})
			if tc.deep {
				lines, _, err = w.stored(t, nil)
				require.NoError(t, err)
				require.Empty(t, lines, "without Deep the bytes are not read")
			}
		})
	}
}

// TestADiscrepancyHasTheValuesOfEachSide which a person compares.
func TestADiscrepancyHasTheValuesOfEachSide(t *testing.T) {
	t.Parallel()
	const key = "files/004"
	w := newFixture(4)
	w.objects[key], w.bytes[key] = ingest.Object{Key: key, Size: 5, SHA256: "h4"}, "y"
	_, _, err := w.stored(t, func(a *audit.Auditor) { a.Deep = true })
	require.NoError(t, err)
	ledger, object := w.found[0].Sides.Ledger, w.found[0].Sides.Object
	require.EqualValues(t, []int64{4, 5}, []int64{*ledger.Size, *object.Size})
	require.Equal(t, []string{"h4", "y"}, []string{ledger.SHA256, object.SHA256}, "of the bytes, not of the metadata")
	require.Equal(t, ingest.StatusCompleted, ledger.Status)

	entry := ingest.Observation{Path: "/out/x", Size: 1, ModTime: now.Add(-time.Hour)}
	w.listed(t, entry)
	source := w.found[len(w.found)-1].Sides.Source
	require.EqualValues(t, 1, *source.Size)
	require.Equal(t, entry.ModTime, source.ModTime)
}

// TestMergeFindsKeysOfOneSide: keys without a row or without an object are before, between
// and after the others, single and adjacent, across the ends of pages.
func TestMergeFindsKeysOfOneSide(t *testing.T) {
	t.Parallel()
	for mask := range 1 << 9 { // each of three files: both, row alone, object alone, neither
		w, want := newFixture(0), []string(nil)
		for n := 1; n <= 3; n++ {
			row := completed(n)
			part := mask >> (3 * (n - 1)) & 7
			if part&1 != 0 {
				w.rows = append(w.rows, row)
			}
			if part&2 != 0 {
				w.objects[row.File.ObjectKey] = ingest.Object{Key: row.File.ObjectKey, Size: row.File.Size, SHA256: row.File.Hash}
			}
			switch part & 3 {
			case 1:
				want = append(want, fmt.Sprintf("- acme:/out/%03d: there is no object files/%03d", n, n))
			case 2:
				want = append(want, fmt.Sprintf("+ files/%03d: the store has an object without a row", n))
			}
		}
		lines, _, err := w.stored(t, nil)
		require.NoError(t, err)
		require.ElementsMatch(t, want, lines, "%09b", mask)
	}
}

func TestFilesInFlightArePending(t *testing.T) {
	t.Parallel()
	w := newFixture(8)
	for n, status := range map[int]ingest.Status{
		1: ingest.StatusDiscovered, 2: ingest.StatusDownloading, 3: ingest.StatusUploading, 4: ingest.StatusUploaded,
		5: ingest.StatusSkipped, 6: ingest.StatusVanished, 7: ingest.StatusRejected,
	} {
		w.file(n).File.Status, w.file(n).Events = status, nil
	}
	w.file(1).File.ObjectKey, w.file(2).File.ObjectKey = "", ""
	delete(w.objects, "files/001")
	delete(w.objects, "files/002")
	delete(w.objects, "files/003") // its upload runs
	delete(w.objects, "files/006") // its upload had started
	lines, sum, err := w.stored(t, nil)
	require.NoError(t, err)
	require.Empty(t, lines)
	require.EqualValues(t, 4, sum.Pending)
}

func TestARepeatedDownloadIsNoDiscrepancy(t *testing.T) {
	t.Parallel()
	w := newFixture(2)
	w.file(1).Events = slices.Insert(w.file(1).Events, 4, w.file(1).Events[3])
	w.file(2).Events = append(w.file(2).Events, w.file(2).Events[7])
	lines, _, err := w.stored(t, nil)
	require.NoError(t, err)
	require.Len(t, lines, 1, "a second notification is one")
	require.Contains(t, lines[0], "! acme:/out/002: its events are")
}

func TestAnObjectWhoseRowIsNewIsNoDiscrepancy(t *testing.T) {
	t.Parallel()
	w := newFixture(1)
	w.objects["files/9"], w.late["files/9"] = ingest.Object{}, true
	lines, _, err := w.stored(t, nil)
	require.NoError(t, err)
	require.Empty(t, lines)
}

// TestAnObjectOfAnEndedFileIsReportedWithTheFile: a frozen worker may store an object
// after its file has ended. The ledger has its key only in some modes.
func TestAnObjectOfAnEndedFileIsReportedWithTheFile(t *testing.T) {
	t.Parallel()
	const uuid = "0f0f0f0f-0000-4000-8000-000000000001"
	const key = "files/2026/11/" + uuid + "/001"
	for _, recorded := range []string{"", key} {
		for status, want := range map[ingest.Status]string{
			ingest.StatusVanished:    "vanished",
			ingest.StatusSuperseded:  "superseded",
			ingest.StatusDownloading: "", // stored and not yet recorded
			ingest.StatusReady:       "",
		} {
			w := newFixture(1)
			w.objects = map[string]ingest.Object{key: {Key: key, Size: 1}}
			f := &w.file(1).File
			f.UUID, f.Status, f.ObjectKey = uuid, status, recorded
			lines, _, err := w.stored(t, nil)
			require.NoError(t, err)
			if want == "" {
				assert.Empty(t, lines, "%s, key %q", status, recorded)
				continue
			}
			assert.Equal(t, []string{"+ acme:/out/001: the store has object " + key + ", in the ledger the file is " + want}, lines, "key %q", recorded)
		}
	}
	w := newFixture(0)
	w.objects[key] = ingest.Object{Key: key}
	lines, _, err := w.stored(t, nil)
	require.NoError(t, err)
	assert.Equal(t, []string{"+ " + key + ": the store has an object without a row"}, lines)
}

func TestSelectedServers(t *testing.T) {
	t.Parallel()
	w := newFixture(4)
	w.file(2).File.ServerUUID = "other"
	delete(w.objects, "files/001")
	delete(w.objects, "files/002")
	w.objects["files/zzz"] = ingest.Object{}
	lines, sum, err := w.stored(t, func(a *audit.Auditor) { a.Servers = []string{acme.UUID} })
	require.NoError(t, err)
	require.Equal(t, []string{"- acme:/out/001: there is no object files/001"}, lines)
	require.EqualValues(t, 3, sum.Files)
	require.Zero(t, sum.Objects)
}

func TestObjectsAreReadConcurrentlyWithinALimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(60)
		release := make(chan struct{})
		w.onHead = func() { <-release }
		ended := make(chan error)
		go func() { ended <- w.auditor(nil).Stored(t.Context()) }()
		synctest.Wait() // all reads that may start have started
		require.Equal(t, 16, w.busy)
		close(release)
		require.NoError(t, <-ended)
	})
}

func TestStoredEndsWithAnError(t *testing.T) {
	t.Parallel()
	away := ingest.Errorf(ingest.KindTransient, "the store does not respond")
	full := errors.New("the disk is full")
	for name, tc := range map[string]struct {
		damage func(w *fixture, a *audit.Auditor)
		want   string
	}{
		"store away": {func(w *fixture, _ *audit.Auditor) { w.broken["files/002"], w.away = true, away }, away.Message},
		"unsorted":   {func(w *fixture, _ *audit.Auditor) { w.reversed = true }, "byte order"},
		"report fails": {func(w *fixture, a *audit.Auditor) {
			w.objects["files/0"] = ingest.Object{}
			a.Report = func(audit.Discrepancy) error { return full }
		}, full.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newFixture(50)
			_, _, err := w.stored(t, func(a *audit.Auditor) { tc.damage(w, a) })
			require.ErrorContains(t, err, tc.want)
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, newFixture(3).auditor(nil).Stored(ctx), context.Canceled)
}

func TestListed(t *testing.T) {
	t.Parallel()
	row := completed(1).File
	with := func(status ingest.Status) ingest.History {
		f := row
		f.Status = status
		return ingest.History{File: f}
	}
	otherVersion := func(status ingest.Status) ingest.History {
		h := with(status)
		h.File.Size++
		return h
	}
	sourceLeft := with(ingest.StatusCompleted)
	sourceLeft.File.SourceLeft = "not allowed"
	odd := func(status ingest.Status, change func(*ingest.File)) ingest.History {
		h := with(status)
		change(&h.File)
		return h
	}
	gone := func(ago time.Duration) func(*ingest.File) {
		return func(f *ingest.File) { f.SourceGoneAt = now.Add(-ago) }
	}
	rejected := shown(row)
	rejected.Rejected = "is a FIFO"
	young, ahead, future := shown(row), shown(row), shown(row)
	young.ModTime, ahead.ModTime, future.ModTime = now.Add(-time.Minute), now.Add(time.Minute), now.Add(time.Hour)
	const unknown = "- acme:/out/001: the server has it (1 bytes, modified 2026-11-23 11:00:00Z), the ledger has no row"
	sides := map[string]string{"no row": "=-??", "back again": "=!??", "two rows": "=+??"}
	for name, tc := range map[string]struct {
		rows    []ingest.History
		entry   ingest.Observation
		want    string
		pending int64
	}{
		"completed":                {[]ingest.History{with(ingest.StatusCompleted)}, shown(row), "", 0},
		"source left":              {[]ingest.History{sourceLeft}, shown(row), "+ acme:/out/001: it is ingested, but could not be deleted or moved: not allowed", 0},
		"on its allEvents":         {[]ingest.History{with(ingest.StatusUploading)}, shown(row), "", 0},
		"failed":                   {[]ingest.History{with(ingest.StatusError)}, shown(row), "", 0},
		"skipped":                  {[]ingest.History{with(ingest.StatusSkipped)}, shown(row), "", 0},
		"no row":                   {nil, shown(row), unknown, 0},
		"another version ingested": {[]ingest.History{otherVersion(ingest.StatusCompleted)}, shown(row), unknown, 0},
		"still being written":      {[]ingest.History{otherVersion(ingest.StatusDiscovered)}, shown(row), "", 0},
		"young":                    {nil, young, "", 1},
		"young by another clock":   {nil, ahead, "", 1},
		"in the future":            {nil, future, "- acme:/out/001: the server has it (1 bytes, modified 2026-11-23 13:00:00Z), the ledger has no row", 0},
		"on the server after its deletion": {
			[]ingest.History{odd(ingest.StatusCompleted, gone(time.Hour))}, shown(row),
			"! acme:/out/001: it was ingested, deleted or moved on 2026-11-23 11:00:00Z, and is on the server again: it is not ingested again", 0,
		},
		"deleted just now": {[]ingest.History{odd(ingest.StatusCompleted, gone(time.Minute))}, shown(row), "", 1},
		"delivered again": {[]ingest.History{
			odd(ingest.StatusCompleted, gone(time.Hour)), odd(ingest.StatusCompleted, func(f *ingest.File) { f.Delivery = 1 }),
		}, shown(row), "", 0},
		"under another time": {[]ingest.History{odd(ingest.StatusSuperseded, func(f *ingest.File) { f.ErrorKind = ingest.KindSameContent })}, shown(row), "", 0},
		"never settles": {[]ingest.History{odd(ingest.StatusError, func(f *ingest.File) {
			f.ErrorKind, f.ModTime = ingest.KindUnsettled, now
		})}, shown(row), "", 0},
		"listed otherwise": {[]ingest.History{odd(ingest.StatusCompleted, func(f *ingest.File) {
			f.ShownSize, f.ShownTime, f.Size, f.ModTime = f.Size, f.ModTime, 4096, now
		})}, shown(row), "", 0},
		"times do not count": {[]ingest.History{odd(ingest.StatusCompleted, func(f *ingest.File) {
			f.Identity, f.ModTime = ingest.IdentitySize, now
		})}, shown(row), "", 0},
		"back again":               {[]ingest.History{with(ingest.StatusVanished)}, shown(row), "- acme:/out/001: the server has it, in the ledger it is vanished: the next scan should find it", 0},
		"older version is back":    {[]ingest.History{with(ingest.StatusSuperseded)}, shown(row), "- acme:/out/001: the server has it, in the ledger it is superseded: the next scan should find it", 0},
		"rejected":                 {[]ingest.History{otherVersion(ingest.StatusRejected)}, rejected, "", 0},
		"unsafe without a row":     {nil, rejected, unknown, 0},
		"was rejected, now fine":   {[]ingest.History{with(ingest.StatusRejected)}, shown(row), "- acme:/out/001: the ledger has rejected it, but it can be ingested", 0},
		"another version rejected": {[]ingest.History{otherVersion(ingest.StatusRejected)}, shown(row), unknown, 0},
		"two rows":                 {[]ingest.History{with(ingest.StatusCompleted), with(ingest.StatusCompleted)}, shown(row), "+ acme:/out/001: 2 completed rows have its content", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newFixture(0)
			w.rows = tc.rows
			lines, sum := w.listed(t, tc.entry)
			if tc.want == "" {
				assert.Empty(t, lines)
			} else {
				assert.Equal(t, []string{tc.want}, lines)
			}
			if want := sides[name]; want != "" {
				assert.Equal(t, want, signs(w.found[0].Sides))
			}
			assert.Equal(t, tc.pending, sum.Pending)
			assert.EqualValues(t, 1, sum.Sources)
		})
	}
}

func TestListedInBatches(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 499, 500, 501, 1200} {
		w := newFixture(n)
		var entries []ingest.Observation
		for _, row := range w.rows {
			entries = append(entries, shown(row.File))
		}
		entries = append(entries, ingest.Observation{Path: "/out/lost", ModTime: now.Add(-time.Hour)})
		lines, sum := w.listed(t, entries...)
		require.Len(t, lines, 1)
		require.EqualValues(t, n+1, sum.Sources)
		require.Equal(t, min(n+1, 500), w.largest)
	}
}

func TestListedWithAnIncompleteListing(t *testing.T) {
	t.Parallel()
	w := newFixture(0)
	var lines []string
	a := w.auditor(&lines)
	failure, err := a.Listed(t.Context(), acme, func(_ context.Context, fn func(ingest.Observation) error) (ingest.Unread, error) {
		require.NoError(t, fn(ingest.Observation{Path: "/out/x", ModTime: now.Add(-time.Hour)}))
		return ingest.Unread{}, ingest.Errorf(ingest.KindTransient, "the connection broke")
	})
	require.NoError(t, err)
	require.Equal(t, "the connection broke", failure)
	require.Len(t, lines, 1, "entries listed before are checked")
	require.NoError(t, a.Unlisted(acme, failure))
	require.Equal(t, "? acme:/out: the server could not be audited: the connection broke", lines[1])
	require.Equal(t, "????", signs(w.found[1].Sides))

	var unread ingest.Unread
	for range ingest.MaxUnread + 3 {
		unread.Add("/out/closed", "may not be read by user u")
	}
	_, err = a.Listed(t.Context(), acme, func(context.Context, func(ingest.Observation) error) (ingest.Unread, error) { return unread, nil })
	require.NoError(t, err)
	require.Len(t, lines, 2+ingest.MaxUnread+1)
	require.Equal(t, "? acme:/out/closed: the folder was not compared: it may not be read by user u", lines[2])
	require.Equal(t, "? acme:/out: 3 more folders could not be read and were not compared", lines[len(lines)-1])
}
