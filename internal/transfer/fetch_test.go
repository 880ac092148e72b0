package transfer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"stevedore/internal/ingest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const fileUUID = "0b7e0c1a-4f0e-4a55-9d0a-6a1f6ad7c001"

// open opens a staging folder for the test and closes it with the test.
func open(t *testing.T, cfg Config) *Staging {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	s, err := Open(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// content returns size bytes that differ from offset to offset.
func content(size int) []byte {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func sha(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// fetchOf returns a request for all of b.
func fetchOf(b []byte) ingest.Fetch {
	return ingest.Fetch{FileUUID: fileUUID, Size: int64(len(b)), ModTime: 1700000000, Source: bytes.NewReader(b)}
}

// requireStaged checks with every method that exactly want is staged.
func requireStaged(t require.TestingT, s *Staging, want []byte) {
	staged, err := s.Staged(context.Background(), fileUUID)
	require.NoError(t, err)
	got, err := os.ReadFile(staged.Path)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got), "staged bytes differ")
	require.Equal(t, int64(len(want)), staged.Size)
	require.Equal(t, sha(want), staged.SHA256)
	size, digests, err := s.Digests(context.Background(), fileUUID, nil, "sha256")
	require.NoError(t, err)
	require.Equal(t, int64(len(want)), size)
	require.Equal(t, sha(want), digests["sha256"])
}

// source scripts the results of reads; a nil answer reads content.
type source struct {
	content []byte
	answer  func(p []byte, off int64) (int, error)
}

func (s source) ReadAt(p []byte, off int64) (int, error) {
	if s.answer != nil {
		return s.answer(p, off)
	}
	return bytes.NewReader(s.content).ReadAt(p, off)
}

func TestFetchSizes(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 1023, 1024, 1025, 4 * 1024, 10*1024 + 7} {
		s := open(t, Config{ChunkSize: 1024, Window: 4})
		want := content(size)
		staged, err := s.Fetch(t.Context(), fetchOf(want))
		require.NoError(t, err, "size %d", size)
		require.Zero(t, staged.ResumedFrom)
		require.Equal(t, sha(want), staged.SHA256)
		requireStaged(t, s, want)
	}
}

func TestFetchOfStagedFileReadsNothing(t *testing.T) {
	t.Parallel()
	s := open(t, Config{})
	want := content(100_000)
	_, err := s.Fetch(t.Context(), fetchOf(want))
	require.NoError(t, err)
	req := fetchOf(want)
	req.Source = source{answer: func([]byte, int64) (int, error) { panic("read again") }}
	staged, err := s.Fetch(t.Context(), req)
	require.NoError(t, err)
	require.Equal(t, req.Size, staged.ResumedFrom)
	require.Equal(t, sha(want), staged.SHA256)
}

// Reads that end in reverse order must be written in order.
func TestFetchPutsReadsInOrder(t *testing.T) {
	t.Parallel()
	const chunk, window = 512, 8
	s := open(t, Config{ChunkSize: chunk, Window: window})
	want := content(chunk * window)
	ended := make([]chan struct{}, window+1)
	for i := range ended {
		ended[i] = make(chan struct{})
	}
	close(ended[window])
	req := fetchOf(want)
	req.Source = source{answer: func(p []byte, off int64) (int, error) {
		k := off / chunk
		if k == window {
			return 0, io.EOF
		}
		<-ended[k+1] // the read behind this one ends first
		defer close(ended[k])
		return copy(p, want[off:]), nil
	}}
	_, err := s.Fetch(t.Context(), req)
	require.NoError(t, err)
	requireStaged(t, s, want)
}

func TestFetchKeepsWindowOutstanding(t *testing.T) {
	t.Parallel()
	const window = 4
	s := open(t, Config{ChunkSize: 512, Window: window})
	want := content(512 * 32)
	var mu sync.Mutex
	running, most := 0, 0
	full := make(chan struct{})
	req := fetchOf(want)
	req.Source = source{answer: func(p []byte, off int64) (int, error) {
		mu.Lock()
		running++
		if most = max(most, running); running == window && off < 512*window {
			close(full)
		}
		mu.Unlock()
		<-full
		mu.Lock()
		running--
		mu.Unlock()
		return copy(p, want[off:]), nil
	}}
	_, err := s.Fetch(t.Context(), req)
	require.NoError(t, err)
	require.Equal(t, window, most)
}

func TestFetchReadErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("connection reset")
	denied := ingest.Errorf(ingest.KindPermission, "denied")
	for name, c := range map[string]struct {
		n    int
		err  error
		kind ingest.Kind
		is   error
		text string
	}{
		"ends early":     {n: 10, err: io.EOF, kind: ingest.KindChanged, text: "shrank while it was read: it ends at byte 3010"},
		"short, nil":     {n: 10, kind: ingest.KindTransient, text: "invalid source"},
		"nothing, nil":   {n: 0, kind: ingest.KindTransient, text: "invalid source"},
		"too much":       {n: 5000, kind: ingest.KindTransient, text: "invalid source"},
		"other error":    {n: 10, err: broken, kind: ingest.KindTransient, is: broken},
		"classified one": {err: denied, kind: ingest.KindPermission, is: denied},
		"torn":           {n: 999, err: io.ErrUnexpectedEOF, kind: ingest.KindTransient},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, Config{ChunkSize: 1000, Window: 2})
			want := content(10_000)
			req := fetchOf(want)
			req.Source = source{answer: func(p []byte, off int64) (int, error) {
				if off == 3000 {
					return c.n, c.err
				}
				return copy(p, want[off:]), nil
			}}
			_, err := s.Fetch(t.Context(), req)
			require.ErrorContains(t, err, c.text)
			require.Equal(t, c.kind, ingest.KindOf(err))
			if c.is != nil {
				require.ErrorIs(t, err, c.is)
			}
			_, err = s.Staged(t.Context(), fileUUID)
			require.Equal(t, ingest.KindStagingLost, ingest.KindOf(err))

			staged, err := s.Fetch(t.Context(), fetchOf(want))
			require.NoError(t, err)
			require.Equal(t, int64(3000), staged.ResumedFrom, "progress before the error is saved")
			requireStaged(t, s, want)
		})
	}
}

func TestFetchAnotherVersionRestarts(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*ingest.Fetch){
		"time":  func(f *ingest.Fetch) { f.ModTime++ },
		"size":  func(f *ingest.Fetch) { f.Size -= 100 },
		"shown": func(f *ingest.Fetch) { f.Shown++ },
	} {
		s := open(t, Config{})
		_, err := s.Fetch(t.Context(), fetchOf(content(5000)))
		require.NoError(t, err)
		other := bytes.Repeat([]byte("x"), 5000)
		req := fetchOf(other)
		change(&req)
		req.Source = bytes.NewReader(other[:req.Size])
		staged, err := s.Fetch(t.Context(), req)
		require.NoError(t, err, name)
		require.Zero(t, staged.ResumedFrom, name)
		requireStaged(t, s, other[:req.Size])
	}
}

// TestFetchWithoutTheTimeOfTheOpenFile does not resume, but keeps a complete copy.
func TestFetchWithoutTheTimeOfTheOpenFile(t *testing.T) {
	t.Parallel()
	s := open(t, Config{ChunkSize: 1000, Window: 2})
	want := content(10_000)
	fetch := func(fail int64) (ingest.Staged, error) {
		req := fetchOf(want)
		req.Shown = ingest.OpenTimeUnknown
		req.Source = source{answer: func(p []byte, off int64) (int, error) {
			if off >= fail {
				return 0, errors.New("connection reset")
			}
			return copy(p, want[off:]), nil
		}}
		return s.Fetch(t.Context(), req)
	}
	_, err := fetch(3000)
	require.ErrorContains(t, err, "connection reset")
	staged, err := fetch(10_001)
	require.NoError(t, err)
	require.Zero(t, staged.ResumedFrom)
	_, err = fetch(0)
	require.NoError(t, err)
	requireStaged(t, s, want)
}

func TestFetchStopAndCancelSaveProgress(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end  func(cancel func(), stop chan struct{})
		want error
	}{
		"stop":   {func(_ func(), stop chan struct{}) { close(stop) }, ingest.ErrStopped},
		"cancel": {func(cancel func(), _ chan struct{}) { cancel() }, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, Config{ChunkSize: 1000, Window: 2, DrainTimeout: time.Millisecond})
			want := content(10_000)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			stop, closed := make(chan struct{}), make(chan struct{})
			req := fetchOf(want)
			req.Stop = stop
			req.Source = source{answer: func(p []byte, off int64) (int, error) {
				if off >= 4000 { // hangs until the connection is closed
					<-closed
					return 0, os.ErrClosed
				}
				return copy(p, want[off:]), nil
			}}
			req.Progress = func(done int64) {
				if done == 4000 {
					c.end(cancel, stop)
				}
			}
			_, err := s.Fetch(ctx, req)
			require.ErrorIs(t, err, c.want)
			// The next attempt does not wait for the reads of this one.
			staged, err := s.Fetch(t.Context(), fetchOf(want))
			require.NoError(t, err)
			require.Equal(t, int64(4000), staged.ResumedFrom)
			requireStaged(t, s, want)
			close(closed) // ends the hanging reads; no goroutine may remain
		})
	}
}

func TestFetchFailsWithoutProgress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Config{ChunkSize: 1000, Window: 2, AnswerTimeout: time.Minute})
		want := content(10_000)
		closed := make(chan struct{})
		req := fetchOf(want)
		req.Source = source{answer: func(p []byte, off int64) (int, error) {
			if off >= 4000 {
				<-closed
				return 0, os.ErrClosed
			}
			time.Sleep(50 * time.Second) // slow is not stalled
			return copy(p, want[off:]), nil
		}}
		begun := time.Now()
		_, err := s.Fetch(t.Context(), req)
		require.ErrorContains(t, err, "received no data for 1m0s at byte 4000 of 10000")
		require.Equal(t, ingest.KindTransient, ingest.KindOf(err))
		require.Less(t, time.Since(begun), 4*time.Minute)
		close(closed)
		staged, err := s.Fetch(t.Context(), fetchOf(want))
		require.NoError(t, err)
		require.Equal(t, int64(4000), staged.ResumedFrom)
	})
}

// On a slow connection the interval triggers checkpoints, not the bytes.
func TestFetchCheckpointsByTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Config{ChunkSize: 1000, Window: 1, CheckpointInterval: 10 * time.Second})
		want := content(5000)
		req := fetchOf(want)
		f, err := s.folder(fileUUID)
		require.NoError(t, err)
		var offsets []int64
		req.Source = source{answer: func(p []byte, off int64) (int, error) {
			if off == int64(len(want)) {
				return 0, io.EOF
			}
			time.Sleep(15 * time.Second)
			if c, err := f.load(); err == nil {
				offsets = append(offsets, c.Offset)
			}
			return copy(p, want[off:]), nil
		}}
		_, err = s.Fetch(t.Context(), req)
		require.NoError(t, err)
		require.Equal(t, []int64{1000, 2000, 3000, 4000}, offsets)
	})
}

func TestFetchRejectsSecondAttempt(t *testing.T) {
	t.Parallel()
	s := open(t, Config{})
	want := content(10)
	entered, leave := make(chan struct{}), make(chan struct{})
	req := fetchOf(want)
	req.Source = source{answer: func(p []byte, off int64) (int, error) {
		if off == 0 {
			close(entered)
		}
		<-leave
		return copy(p, want[off:]), nil
	}}
	first := make(chan error, 1)
	go func() { _, err := s.Fetch(context.Background(), req); first <- err }()
	<-entered
	for name, err := range map[string]error{
		"fetch":   second(s.Fetch(t.Context(), fetchOf(want))),
		"reserve": s.Reserve(t.Context(), fileUUID, 10),
		"discard": s.Discard(fileUUID),
	} {
		require.ErrorContains(t, err, "another attempt still holds", name)
		require.Equal(t, ingest.KindTransient, ingest.KindOf(err))
	}
	close(leave)
	require.NoError(t, <-first)
	requireStaged(t, s, want)
}

func second[T any](_ T, err error) error { return err }

func TestFetchRejectsInvalidRequests(t *testing.T) {
	t.Parallel()
	s := open(t, Config{})
	good := fetchOf(nil)
	for name, bad := range map[string]func(*ingest.Fetch){
		"path escape":   func(f *ingest.Fetch) { f.FileUUID = "../../etc/passwd" },
		"empty uuid":    func(f *ingest.Fetch) { f.FileUUID = "" },
		"uuid in urn":   func(f *ingest.Fetch) { f.FileUUID = "urn:uuid:" + fileUUID },
		"negative size": func(f *ingest.Fetch) { f.Size = -1 },
		"no source":     func(f *ingest.Fetch) { f.Source = nil },
	} {
		req := good
		bad(&req)
		_, err := s.Fetch(t.Context(), req)
		require.Equal(t, ingest.KindInvalid, ingest.KindOf(err), name)
	}
	held, err := s.List()
	require.NoError(t, err)
	require.Empty(t, held, "a rejected request leaves no files")
}
