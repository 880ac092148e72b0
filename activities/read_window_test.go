package activities

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/transfer"
)

// narrow is a server that breaks the connection when more than limit reads are outstanding,
// or after a number of answers. Its catalog records the learned limit.
type narrow struct {
	Source
	Catalog
	limit, answers int64
	content        []byte
	server         ingest.Server
	learned        []int
}

func (n *narrow) LearnReadWindow(_ context.Context, _ string, window int) error {
	n.server.ReadWindow = window
	n.learned = append(n.learned, window)
	return nil
}

func (n *narrow) OpenFile(context.Context, string) (RemoteFile, error) {
	return &narrowFile{narrow: n, full: make(chan struct{})}, nil
}

type narrowFile struct {
	RemoteFile
	*narrow
	outstanding, answered atomic.Int64
	broken                atomic.Bool
	once                  sync.Once
	full                  chan struct{} // closed when the limit is exceeded or the window is full
}

var errLost = ingest.Errorf(ingest.KindTransient, "lost the connection")

func (f *narrowFile) ReadAt(p []byte, off int64) (int, error) {
	now := f.outstanding.Add(1)
	defer f.outstanding.Add(-1)
	window := int64(f.server.Reads())
	if window == 0 {
		window = transfer.DefaultWindow
	}
	if now > f.limit {
		f.broken.Store(true)
	}
	if now > f.limit || now >= window {
		f.once.Do(func() { close(f.full) })
	}
	<-f.full // a server that is slower than its client
	if f.broken.Load() || f.answers > 0 && f.answered.Add(1) > f.answers {
		return 0, errLost
	}
	return bytes.NewReader(f.content).ReadAt(p, off)
}

func (f *narrowFile) Close() error { return nil }

// attempt transfers the file like a step.
func (n *narrow) attempt(t *testing.T, a *Activities) error {
	file, err := n.OpenFile(t.Context(), "/f")
	require.NoError(t, err)
	remote := a.bounded(t.Context(), n.server, file, int64(len(n.content)))
	got, _, err := transfer.Memory{}.ReadWhole(t.Context(), remote, int64(len(n.content)), 0, 0)
	if err == nil {
		assert.True(t, bytes.Equal(n.content, got))
	}
	require.NoError(t, remote.Close())
	return err
}

func newNarrow(limit, answers int64) (*narrow, *Activities) {
	n := &narrow{limit: limit, answers: answers, content: bytes.Repeat([]byte("x"), 8<<20), server: ingest.Server{UUID: "u", Name: "acme"}}
	return n, &Activities{Deps: Deps{Catalog: n, Log: slog.New(slog.DiscardHandler)}}
}

// TestOutstandingReadsAreHalved: the number is halved until the file can be read.
func TestOutstandingReadsAreHalved(t *testing.T) {
	t.Parallel()
	for _, limit := range []int64{64, 16, 5, 1} {
		n, a := newNarrow(limit, 0)
		for tries := 0; n.attempt(t, a) != nil; tries++ {
			require.Less(t, tries, 8)
		}
		if limit == 64 {
			assert.Empty(t, n.learned)
			continue
		}
		last := n.learned[len(n.learned)-1]
		assert.LessOrEqual(t, int64(last), limit)
		assert.GreaterOrEqual(t, int64(last), limit/2, "the number of outstanding reads is not reduced too far")
	}
}

// TestBrokenConnectionsDoNotReduceReads: a failure after many answers does not depend on the
// number of reads. A configured limit does not change either.
func TestBrokenConnectionsDoNotReduceReads(t *testing.T) {
	t.Parallel()
	n, a := newNarrow(64, 200)
	for range 5 {
		require.ErrorIs(t, n.attempt(t, a), errLost)
	}
	assert.Empty(t, n.learned)
	n, a = newNarrow(4, 0)
	n.server.MaxReads = 8
	for range 5 {
		require.ErrorIs(t, n.attempt(t, a), errLost)
	}
	assert.Empty(t, n.learned)
}
