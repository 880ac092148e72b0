package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

// checkMoves decides on suspected moves. there are the old paths that still exist on the
// server.
func (b *testBundle) checkMoves(t *testing.T, there ...string) {
	t.Helper()
	suspects, err := b.SuspectedMoves(t.Context(), b.server.UUID, 1000)
	require.NoError(t, err)
	exists := map[string]bool{"": true}
	for _, path := range there {
		exists[path] = true
	}
	var gone []ingest.SuspectedMove
	var copies []int64
	for _, s := range suspects {
		if exists[s.OldPath] {
			copies = append(copies, s.FileID)
		} else {
			gone = append(gone, s)
		}
	}
	server := b.server
	server.Settle = 0
	require.NoError(t, b.DecideMoves(t.Context(), server, gone, copies))
}

func moved(all []ingest.Observation, to string) []ingest.Observation {
	list := make([]ingest.Observation, len(all))
	for i, o := range all {
		o.Path = to + o.Path[len("/in"):]
		list[i] = o
	}
	return list
}

// TestMovedFilesAreHeld: a renamed folder is not ingested again before an operator action, and
// new files and copies continue.
func TestMovedFilesAreHeld(t *testing.T) {
	t.Parallel()
	for _, decision := range []ingest.ChangesDecision{ingest.ChangesSame, ingest.ChangesTake} {
		t.Run(string(decision), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			all := paths("/in", 8)
			b.ingested(t, all...)
			now := append(moved(all[:6], "/archive"), moved(all[6:], "/copy")...)
			now = append(now, seen("/in/new.csv", 5))
			b.observe(t, now...)
			promoted, _ := b.promote(t, 0)
			require.EqualValues(t, 1, promoted, "only the new file is promoted before the check")
			assert.Contains(t, b.files(t)[8].WaitsFor, "a check whether it was moved from /in/000000.csv")

			b.checkMoves(t, all[6].Path, all[7].Path)
			note, promoted, settling := b.listed(t, now...)
			assert.Equal(t, [2]int64{2, 0}, [2]int64{promoted, settling}, "copies are ingested, held files do not count as settling")
			assert.Contains(t, note, "6 new files have the name, size and time of ingested files that are gone (/in/000000.csv -> /archive/000000.csv, ")
			held := b.attention(t).Held
			require.Len(t, held.Parts, 1)
			assert.Equal(t, "moved", held.Parts[0].Name())
			assert.EqualValues(t, 6, held.Parts[0].Files)
			assert.Len(t, held.Parts[0].Examples, 5)
			assert.Contains(t, b.files(t)[8].WaitsFor, "it was probably moved from /in/000000.csv, which was ingested")

			b.pass(t, time.Hour)
			b.look(t, now[0])
			promoted, _ = b.promote(t, 0)
			assert.Zero(t, promoted, "a STAT does not release it")
			n, err := b.DecideChanges(t.Context(), b.server.UUID, decision, "moved", "ann", "archived", "key")
			require.NoError(t, err)
			assert.EqualValues(t, 6, n)
			for range 2 {
				_, promoted, _ = b.listed(t, now...)
				assert.Zero(t, b.attention(t).Held.Files)
				if decision == ingest.ChangesSame {
					assert.Zero(t, promoted)
				}
			}
			f := b.files(t)[8]
			if decision == ingest.ChangesTake {
				assert.Equal(t, ingest.StatusReady, f.Status)
				return
			}
			assert.Equal(t, ingest.StatusSuperseded, f.Status)
			assert.Equal(t, ingest.KindSameContent, f.ErrorKind)
			assert.Equal(t, "an operator marked it as the version ingested before, as /in/000000.csv", f.ErrorMessage)
		})
	}
}

// TestFilesThatAreNotMoved: files with another name, size, time or server, files without
// a time, an old file that was not ingested, and a server whose setting is to deliver.
func TestFilesThatAreNotMoved(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(t *testing.T, b *testBundle, o *ingest.Observation){
		"name":   func(_ *testing.T, _ *testBundle, o *ingest.Observation) { o.Path = "/archive/b" },
		"size":   func(_ *testing.T, _ *testBundle, o *ingest.Observation) { o.Size++ },
		"time":   func(_ *testing.T, _ *testBundle, o *ingest.Observation) { o.ModTime = o.ModTime.Add(time.Second) },
		"server": func(t *testing.T, b *testBundle, _ *ingest.Observation) { b.server = b.addServer(t, "other") },
		"no time": func(t *testing.T, b *testBundle, o *ingest.Observation) {
			b.exec(t, "UPDATE files SET mtime = 'epoch'")
			o.ModTime = time.Unix(0, 0)
		},
		"deliver": func(t *testing.T, b *testBundle, _ *ingest.Observation) {
			b.set(t, func(s *ingest.Server) { s.Moved = ingest.MovedDeliver })
		},
		"skipped": func(t *testing.T, b *testBundle, _ *ingest.Observation) {
			b.exec(t, "UPDATE files SET status = 'downloading', completed_at = NULL")
			b.exec(t, "UPDATE files SET status = 'skipped'")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.exec(t, "INSERT INTO file_status_transitions VALUES ('completed', 'downloading') ON CONFLICT DO NOTHING")
			b.ingested(t, seen("/in/a", 10))
			o := seen("/archive/a", 10)
			change(t, b, &o)
			b.observe(t, o)
			promoted, _ := b.promote(t, 0)
			assert.EqualValues(t, 1, promoted)
		})
	}
}

// TestMovedWhileRead: the decision waits until the read of the old path ends.
func TestMovedWhileRead(t *testing.T) {
	t.Parallel()
	for _, end := range []ingest.Status{ingest.StatusCompleted, ingest.StatusError, ingest.StatusVanished} {
		t.Run(string(end), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			old := b.ready(t, "/in/a")
			b.walk(t, old.UUID, ingest.StatusDownloading)
			_, promoted, settling := b.listed(t, seen("/archive/a", 10))
			assert.Equal(t, [2]int64{0, 1}, [2]int64{promoted, settling})
			assert.Zero(t, b.attention(t).Held.Files)
			if end == ingest.StatusCompleted {
				b.walk(t, old.UUID, ingest.StatusUploaded)
			}
			b.walk(t, old.UUID, end)
			_, promoted, _ = b.listed(t, seen("/archive/a", 10))
			if end == ingest.StatusVanished {
				assert.EqualValues(t, 1, promoted)
				return
			}
			assert.Zero(t, promoted)
			assert.EqualValues(t, 1, b.attention(t).Held.Files)
		})
	}
}

// TestAnyOldPathThatIsGoneHolds: if a file and its ingested copy are both possible origins,
// either may have been moved.
func TestAnyOldPathThatIsGoneHolds(t *testing.T) {
	t.Parallel()
	for _, gone := range []string{"/in/a", "/copy/a"} {
		t.Run(gone, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.ingested(t, seen("/in/a", 10))
			b.observe(t, seen("/copy/a", 10))
			b.checkMoves(t, "/in/a")
			b.ingested(t)
			require.Equal(t, 2, b.count(t, ingest.StatusCompleted))
			b.observe(t, seen("/archive/a", 10))
			b.checkMoves(t, map[string]string{"/in/a": "/copy/a", "/copy/a": "/in/a"}[gone])
			assert.Equal(t, []ingest.HeldFile{{Path: "/archive/a", From: gone}}, b.attention(t).Held.Parts[0].Examples)

			// The move is undone: nothing is left to decide.
			require.NoError(t, b.Apply(t.Context(), ingest.VanishedWhileSettling(b.files(t)[2])))
			assert.Zero(t, b.attention(t).Held.Files)
		})
	}
}

// TestCopiesSettleFirst: a move between file systems begins as a copy.
func TestCopiesSettleFirst(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.ingested(t, seen("/in/a", 10))
	b.observe(t, seen("/archive/a", 10))
	suspects, err := b.SuspectedMoves(t.Context(), b.server.UUID, 10)
	require.NoError(t, err)
	require.Len(t, suspects, 1)
	for _, free := range []bool{false, true} {
		require.NoError(t, b.DecideMoves(t.Context(), b.server, nil, []int64{suspects[0].FileID}))
		promoted, _ := b.promote(t, 0)
		assert.Equal(t, free, promoted == 1)
		b.exec(t, "UPDATE files SET stable_since = stable_since - interval '10 seconds'")
	}
}

// TestAllMovesAreDecidedByTheSetting checks both settings, and a change of the setting
// while files wait.
func TestAllMovesAreDecidedByTheSetting(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.ingested(t, paths("/in", 3)...)
	b.observe(t, moved(paths("/in", 3), "/archive")...)
	server := b.server
	server.Moved = ingest.MovedDeliver
	require.NoError(t, b.DecideAllMoves(t.Context(), server))
	promoted, _ := b.promote(t, 0)
	assert.EqualValues(t, 3, promoted)
	b.observe(t, moved(paths("/in", 2), "/other")...)
	require.NoError(t, b.DecideAllMoves(t.Context(), b.server))
	assert.EqualValues(t, 2, b.attention(t).Held.Files)
}

// TestMovedFilesAndTimesAreSeparateParts: an action on one does not affect the other.
func TestMovedFilesAndTimesAreSeparateParts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	all := paths("/in", 40)
	b.ingested(t, all...)
	now := append(shifted(all[:30], time.Hour), moved(all[30:], "/archive")...)
	note, promoted, _ := b.listed(t, now...)
	assert.Zero(t, promoted)
	assert.Contains(t, note, "40 known files look new because of their times or paths, with unchanged sizes: "+
		"30 shifted by exactly 1h0m0s, 10 gone from other paths (/in/000030.csv -> /archive/000030.csv, ")
	for part, files := range map[string]int64{"1h": 30, "moved": 10} {
		n, err := b.DecideChanges(t.Context(), b.server.UUID, ingest.ChangesTake, part, "ann", "why", fmt.Sprint("key ", part))
		require.NoError(t, err)
		assert.Equal(t, files, n)
	}
}
