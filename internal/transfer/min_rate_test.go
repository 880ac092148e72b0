package transfer

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

// dripping returns one byte every tick.
func dripping(t *testing.T, b []byte, every time.Duration) source {
	tick := time.NewTicker(every)
	t.Cleanup(tick.Stop)
	return source{content: b, answer: func(p []byte, off int64) (int, error) {
		<-tick.C
		return bytes.NewReader(b).ReadAt(p, off)
	}}
}

// A slow source must not hold a slot; the fetch resumes later.
func TestSlowFetchEndsAndResumes(t *testing.T) {
	t.Parallel()
	b := content(40 * DefaultChunkSize)
	s := open(t, Config{PaceWindow: 50 * time.Millisecond, Window: 1})
	req := fetchOf(b)
	req.MinRate, req.Source = 1<<30, dripping(t, b, 5*time.Millisecond)
	_, err := s.Fetch(t.Context(), req)
	require.Equal(t, ingest.KindSlow, ingest.KindOf(err))
	require.False(t, ingest.KindOf(err).Permanent())
	require.ErrorContains(t, err, "below its minimum rate of 1073741824")

	var resumed int64
	req = fetchOf(b)
	req.MinRate, req.Resumed = 1, func(offset int64) error { resumed = offset; return nil }
	_, err = s.Fetch(t.Context(), req)
	require.NoError(t, err)
	require.Positive(t, resumed, "progress is saved")
	requireStaged(t, s, b)
}

// A silent source below its minimum rate is slow, too: it must not hold its slot
// for the attempts of a broken connection.
func TestSilentSourceWithMinimumRateIsSlow(t *testing.T) {
	t.Parallel()
	b := content(10)
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	silent := source{content: b, answer: func([]byte, int64) (int, error) { <-hang; return 0, nil }}
	for name, cfg := range map[string]Config{
		"the pace is over first": {PaceWindow: 20 * time.Millisecond, DrainTimeout: time.Millisecond},
		"the watchdog is first":  {AnswerTimeout: 20 * time.Millisecond, DrainTimeout: time.Millisecond},
	} {
		req := fetchOf(b)
		req.MinRate, req.Source = 1, silent
		_, err := open(t, cfg).Fetch(t.Context(), req)
		require.Equal(t, ingest.KindSlow, ingest.KindOf(err), name)
	}
}

func TestSlowDirectTransferEnds(t *testing.T) {
	t.Parallel()
	b := content(40 * DefaultChunkSize)
	to, kept := &sink{}, &saved{}
	d := newDirect(t, to, func(c *DirectConfig) { c.PaceWindow, c.Window = 50*time.Millisecond, 1 })
	req := directOf(b, kept)
	req.MinRate, req.Source = 1<<30, dripping(t, b, 5*time.Millisecond)
	_, err := d.Copy(t.Context(), req)
	require.Equal(t, ingest.KindSlow, ingest.KindOf(err))

	req = directOf(b, kept)
	req.MinRate = 1
	_, err = d.Copy(t.Context(), req)
	require.NoError(t, err)
}

// Only the time spent waiting for the source counts.
func TestPaceIgnoresSlowStore(t *testing.T) {
	t.Parallel()
	p := newPace(1000, time.Hour)
	p.wait()
	p.since = p.since.Add(-time.Minute)
	p.arrived()
	require.NoError(t, p.took(1))
	p.wait()
	p.since = p.since.Add(-time.Hour)
	p.arrived()
	require.Equal(t, ingest.KindSlow, ingest.KindOf(p.took(1)))
	p.wait()
	p.since = p.since.Add(-time.Hour)
	p.arrived()
	require.NoError(t, p.took(1000*3700), "windows are independent")
}

// A slow or silent source in memory mode is slow.
func TestSlowFileInMemory(t *testing.T) {
	t.Parallel()
	b := content(40 * DefaultChunkSize)
	m := Memory{PaceWindow: 50 * time.Millisecond}
	_, _, err := m.ReadWhole(t.Context(), dripping(t, b, 5*time.Millisecond), int64(len(b)), 1<<40, 0)
	require.Equal(t, ingest.KindSlow, ingest.KindOf(err), "%v", err)
	require.ErrorContains(t, err, "below its minimum rate of")
	hang := make(chan struct{})
	silent := source{content: b, answer: func([]byte, int64) (int, error) {
		<-hang
		return 0, nil
	}}
	time.AfterFunc(time.Second, func() { close(hang) }) // as closing the file does
	_, _, err = m.ReadWhole(t.Context(), silent, int64(len(b)), 1, 0)
	require.Equal(t, ingest.KindSlow, ingest.KindOf(err), "%v", err)
	got, _, err := m.ReadWhole(t.Context(), dripping(t, b, time.Millisecond), int64(len(b)), 0, 0)
	require.NoError(t, err)
	require.True(t, bytes.Equal(b, got))
}
