package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

// TestClockChangesAreHeld: files are held if all or most known files shifted by the same
// multiple of 15 minutes, however few files the server has.
func TestClockChangesAreHeld(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		files int
		by    []time.Duration // in turn; 0 is unchanged
		held  int
	}{
		"three":                    {3, []time.Duration{time.Hour}, 3},
		"a hundred":                {100, []time.Duration{time.Hour}, 100},
		"to winter time":           {60, []time.Duration{-time.Hour}, 60},
		"a day":                    {60, []time.Duration{24 * time.Hour}, 60},
		"half an hour":             {60, []time.Duration{30 * time.Minute}, 60},
		"a zone of three quarters": {60, []time.Duration{5*time.Hour + 45*time.Minute}, 60},
		"two zones":                {60, []time.Duration{time.Hour, 9 * time.Hour}, 60},
		"most":                     {60, []time.Duration{time.Hour, time.Hour, 0}, 40},
		"half":                     {60, []time.Duration{time.Hour, 0}, 0},
		"two files":                {2, []time.Duration{time.Hour}, 0}, // possibly corrections
		"no quarters":              {60, []time.Duration{time.Hour + time.Second}, 0},
		"among other shifts":       {60, []time.Duration{time.Hour, time.Hour, 17 * time.Second}, 40},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			all := paths("/d", tc.files)
			b.ingested(t, all...)
			for i := range all {
				all[i].ModTime = all[i].ModTime.Add(tc.by[i%len(tc.by)])
			}
			fresh := shifted(paths("/new", 200), time.Second) // new files
			moved := 0
			for i := range tc.files {
				if tc.by[i%len(tc.by)] != 0 {
					moved++
				}
			}
			_, promoted, _ := b.listed(t, append(all, fresh...)...)
			assert.EqualValues(t, tc.held, b.attention(t).Held.Files)
			assert.EqualValues(t, len(fresh)+moved-tc.held, promoted)
		})
	}
}

// TestARoundedTimeIsHeld: some file systems round times to 2 s, and load-balanced nodes
// differ by a second. A version that settled is not replaced within that time.
func TestARoundedTimeIsHeld(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		by     time.Duration
		settle time.Duration
		hold   int
		held   int64
	}{
		"rounded down":           {-time.Second, 10 * time.Second, 0, 1},
		"rounded up":             {2 * time.Second, 10 * time.Second, 0, 1},
		"a new version":          {3 * time.Second, 10 * time.Second, 0, 0},
		"without a settle time":  {time.Second, 0, 0, 0},
		"changes are never held": {time.Second, 10 * time.Second, -1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.set(t, func(s *ingest.Server) { s.Settle, s.HoldChanges = tc.settle, tc.hold })
			file := seen("/a", 10)
			b.ingested(t, file)
			_, promoted, _ := b.listed(t, shifted([]ingest.Observation{file}, tc.by)...)
			assert.Equal(t, tc.held, b.attention(t).Held.Files)
			assert.Equal(t, 1-tc.held, promoted)
		})
	}
}

// TestAClockChangeDoesNotHoldOtherChanges: one of the files shifted by a clock was really
// replaced. It is ingested immediately, and an action on the others does not affect it.
func TestAClockChangeDoesNotHoldOtherChanges(t *testing.T) {
	t.Parallel()
	b := setup(t)
	all := paths("/d", 150)
	b.ingested(t, all...)
	moved := shifted(all, time.Hour)
	moved[7].ModTime = all[7].ModTime.Add(17 * time.Minute)
	note, promoted, _ := b.listed(t, moved...)
	assert.EqualValues(t, 1, promoted)
	assert.Contains(t, note, "149 known files look new because their times shifted by exactly 1h0m0s")
	n, err := b.DecideChanges(t.Context(), b.server.UUID, ingest.ChangesSame, "", "ann", "summer time", "key")
	require.NoError(t, err)
	assert.EqualValues(t, 149, n)
	assert.Equal(t, 1, b.count(t, ingest.StatusReady))
}

// TestEachPartIsDecidedAlone: the parts are a clock change, a copied folder, and files with
// different shifts. An action without a part is refused.
func TestEachPartIsDecidedAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.set(t, func(s *ingest.Server) { s.HoldChanges = 3 })
	all := paths("/d", 40)
	b.ingested(t, all...)
	for i := range all {
		switch by := &all[i].ModTime; {
		case i < 20:
			*by = by.Add(time.Hour)
		case i < 32:
			*by = by.Add(24 * time.Hour)
		default:
			*by = by.Add(time.Duration(i) * 61 * time.Second)
		}
	}
	b.observe(t, all...)
	note, err := b.HoldChanges(t.Context(), b.server, ingest.Listed{Seen: 16})
	require.NoError(t, err)
	for _, text := range []string{
		"40 known files look new", "20 shifted by exactly 1h0m0s, 12 shifted by exactly 24h0m0s, 8 shifted by different amounts (",
		fmt.Sprintf("%s by 32m32s", all[32].Path), "...); held until an operator decides about each",
	} {
		assert.Contains(t, note, text)
	}
	decide := func(decision ingest.ChangesDecision, part string) (int64, error) {
		return b.DecideChanges(t.Context(), b.server.UUID, decision, part, "ann", "why", "key "+part)
	}
	_, err = decide(ingest.ChangesSame, "")
	require.True(t, ingest.IsKind(err, ingest.KindConflict), "%v", err)
	require.ErrorContains(t, err, "name the part, such as 1h0m0s, or all")
	_, err = decide(ingest.ChangesSame, "an hour")
	require.True(t, ingest.IsKind(err, ingest.KindInvalid), "%v", err)
	for _, tc := range []struct {
		decision ingest.ChangesDecision
		part     string
		files    int64
	}{{ingest.ChangesSame, "1h", 20}, {ingest.ChangesTake, "others", 8}, {ingest.ChangesSame, "-1h", 0}, {ingest.ChangesTake, "", 12}} {
		n, err := decide(tc.decision, tc.part)
		require.NoError(t, err)
		assert.Equal(t, tc.files, n, "%q", tc.part)
	}
	assert.Equal(t, 20, b.count(t, ingest.StatusSuperseded))
	promoted, _ := b.promote(t, 0)
	assert.EqualValues(t, 20, promoted)
	assert.Zero(t, b.attention(t).Held.Files)
}
