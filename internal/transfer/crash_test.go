package transfer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"stevedore/internal/ingest"
)

// errDied is returned by failpoints to simulate a crash.
var errDied = errors.New("died here")

// crashModel runs fetches of one file through crashes and faults.
type crashModel struct {
	want    []byte
	cfg     Config
	reached int64 // most bytes of any attempt so far
}

// slack is the maximum number of bytes that a crash costs: one half of CheckpointBytes that
// is being saved and one that is being filled. Each may be a chunk longer, because offsets
// advance in chunks.
func (m *crashModel) slack() int64 { return m.cfg.CheckpointBytes + 2*int64(m.cfg.ChunkSize) }

// attempt runs one fetch in one lifetime of the worker.
func (m *crashModel) attempt(rt *rapid.T, source io.ReaderAt, failpoint func(string) error) error {
	s, err := Open(m.cfg)
	require.NoError(rt, err)
	defer func() { require.NoError(rt, s.Close()) }()
	s.failpoint = failpoint
	req := fetchOf(m.want)
	req.Source = source
	first, last := int64(-1), int64(0)
	req.Progress = func(done int64) {
		if first < 0 {
			first = done
		}
		last = done
	}
	staged, err := s.Fetch(context.Background(), req)
	if first >= 0 {
		require.GreaterOrEqual(rt, first, m.reached-m.slack(), "a death cost more than a checkpoint")
		m.reached = last
	}
	if err != nil {
		require.Zero(rt, staged)
		return err
	}
	requireStaged(rt, s, m.want)
	return nil
}

// tear leaves a possible state after a power loss: any length between the
// checkpoint's offset and the size, which no copy exceeds.
func (m *crashModel) tear(rt *rapid.T) {
	f := (&Staging{cfg: m.cfg}).requireFolder()
	c, err := f.load()
	if err != nil {
		c.Offset = 0
	}
	tail := rapid.SliceOfN(rapid.Byte(), 0, min(3000, len(m.want)-int(c.Offset))).Draw(rt, "torn tail")
	data, err := os.OpenFile(f.data(), os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	require.NoError(rt, err)
	require.NoError(rt, data.Truncate(c.Offset))
	_, err = data.WriteAt(tail, c.Offset)
	require.NoError(rt, err)
	require.NoError(rt, data.Close())
}

func (s *Staging) requireFolder() folder {
	f, err := s.named(fileUUID)
	if err != nil {
		panic(err)
	}
	return f
}

// crashAt returns a failpoint that fails at the nth point and all later ones, so
// that no cleanup happens.
func crashAt(n int64) func(string) error {
	var seen atomic.Int64
	return func(string) error {
		if seen.Add(1) > n {
			return errDied
		}
		return nil
	}
}

// faulty ends the reads at a random offset with a random fault.
func faulty(rt *rapid.T, want []byte) io.ReaderAt {
	cut := rapid.Int64Range(0, int64(len(want))).Draw(rt, "cut")
	given := rapid.IntRange(0, 100).Draw(rt, "bytes before the cut")
	fault := rapid.SampledFrom([]error{io.EOF, io.ErrUnexpectedEOF, errors.New("reset"), nil}).Draw(rt, "fault")
	return source{answer: func(p []byte, off int64) (int, error) {
		n, err := bytes.NewReader(want).ReadAt(p, off)
		if off <= cut && cut < off+int64(len(p)) {
			return max(min(given, n-1), 0), fault
		}
		return n, err
	}}
}

// The staged bytes and their hash are correct after any number of source failures and
// crashes, at any point of a save and with any data after the checkpoint. At most
// CheckpointBytes are read again.
func TestFetchSurvivesAnyCrash(t *testing.T) {
	t.Parallel()
	var deaths, faults, resumed int
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		require.NoError(rt, err)
		m := &crashModel{want: content(rapid.IntRange(0, 40_000).Draw(rt, "size"))}
		m.cfg = Config{
			Dir:             dir,
			ChunkSize:       rapid.IntRange(100, 2000).Draw(rt, "chunk"),
			Window:          rapid.IntRange(1, 8).Draw(rt, "window"),
			CheckpointBytes: rapid.Int64Range(1, 20_000).Draw(rt, "checkpoint"),
		}
		for range rapid.IntRange(0, 6).Draw(rt, "lives") {
			var err error
			switch rapid.SampledFrom([]string{"death", "fault"}).Draw(rt, "event") {
			case "death":
				err = m.attempt(rt, bytes.NewReader(m.want), crashAt(rapid.Int64Range(0, 30).Draw(rt, "point")))
				if err != nil {
					require.ErrorIs(rt, err, errDied)
					deaths++
					m.tear(rt)
				}
			case "fault":
				err = m.attempt(rt, faulty(rt, m.want), nil)
				if err != nil {
					faults++
				}
			}
			if m.reached > 0 {
				resumed++
			}
		}
		require.NoError(rt, m.attempt(rt, bytes.NewReader(m.want), nil))
	})
	require.Positive(t, deaths, "no attempt died: the test proves nothing")
	require.Positive(t, faults, "no read failed: the test proves nothing")
	require.Positive(t, resumed, "nothing was resumed: the test proves nothing")
}

// A crash within a save leaves the previous checkpoint or the new one.
func TestDeathInsideASave(t *testing.T) {
	t.Parallel()
	want := content(10_000)
	for _, c := range []struct {
		point string
		from  int64 // possible offsets of the next attempt
	}{
		{pointDataSynced, 4000},
		{pointBeforeRename, 4000},
		{pointAfterRename, 10_000},
	} {
		t.Run(c.point, func(t *testing.T) {
			t.Parallel()
			s := open(t, Config{ChunkSize: 1000, Window: 1})
			req := fetchOf(want)
			req.Source = source{answer: func(p []byte, off int64) (int, error) {
				if off == 4000 {
					return 0, errors.New("reset")
				}
				return copy(p, want[off:]), nil
			}}
			_, err := s.Fetch(t.Context(), req)
			require.ErrorContains(t, err, "reset")

			s.failpoint = func(point string) error {
				if point == c.point {
					return errDied
				}
				return nil
			}
			_, err = s.Fetch(t.Context(), fetchOf(want))
			require.ErrorIs(t, err, errDied)
			s.failpoint = nil
			staged, err := s.Fetch(t.Context(), fetchOf(want))
			require.NoError(t, err)
			require.Equal(t, c.from, staged.ResumedFrom)
			requireStaged(t, s, want)
		})
	}
}

// The error of a failed background save ends the copy; no later save is trusted.
func TestFailedSaveEndsTheCopy(t *testing.T) {
	t.Parallel()
	s := open(t, Config{ChunkSize: 1000, Window: 1, CheckpointBytes: 4000})
	var saves atomic.Int64
	s.failpoint = func(point string) error {
		if point == pointDataSynced && saves.Add(1) == 2 {
			return ingest.Errorf(ingest.KindStagingFull, "full")
		}
		return nil
	}
	_, err := s.Fetch(t.Context(), fetchOf(content(100_000)))
	require.Equal(t, ingest.KindStagingFull, ingest.KindOf(err))
	require.Equal(t, int64(2), saves.Load())
}
