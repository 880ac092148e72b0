package activities

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestSlowServersDoNotBlockOthers: two servers whose transfers never end use up the limit, and
// a third one still gets its share.
func TestSlowServersDoNotBlockOthers(t *testing.T) {
	t.Parallel()
	s := newShares(8)
	acquire := func(server string) (leave func(), ok bool) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // do not wait
		leave, ok, err := s.acquire(ctx, server)
		return leave, ok && err == nil
	}
	for i := range 8 {
		_, ok := acquire([]string{"slow", "slower"}[i%2])
		require.True(t, ok)
	}
	_, ok := acquire("slow")
	require.False(t, ok, "the server has more than its share")
	first, ok := acquire("good")
	require.True(t, ok)
	second, ok := acquire("good")
	require.True(t, ok)
	_, ok = acquire("good")
	require.False(t, ok, "a share is a quarter of the limit")
	first()
	first()
	_, ok = acquire("good")
	require.True(t, ok, "a transfer that is released twice counts once")
	second()
	for _, server := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		acquire(server)
		acquire(server)
	}
	require.Equal(t, 16, s.total, "at most twice the limit")
	_, ok = acquire("last")
	require.False(t, ok)
}

func TestTheServerWithTheFewestTransfersIsNext(t *testing.T) {
	t.Parallel()
	s := newShares(2)
	hog, _, err := s.acquire(t.Context(), "hog")
	require.NoError(t, err)
	_, _, err = s.acquire(t.Context(), "hog")
	require.NoError(t, err)
	_, _, err = s.acquire(t.Context(), "one")
	require.NoError(t, err)
	_, _, err = s.acquire(t.Context(), "two")
	require.NoError(t, err)

	came := make(chan string, 2)
	for _, server := range []string{"hog", "three"} {
		go func() {
			if leave, ok, err := s.acquire(t.Context(), server); ok && err == nil {
				defer leave()
				came <- server
			}
		}()
	}
	require.Eventually(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.waiting) == 2
	}, 10*time.Second, time.Millisecond)
	_, ok, err := s.acquire(t.Context(), "hog")
	require.NoError(t, err)
	require.False(t, ok, "another transfer of the server is already waiting")
	hog()
	require.Equal(t, "three", <-came)
}

func TestWithoutALimitAllRun(t *testing.T) {
	t.Parallel()
	for range 100 {
		_, ok, err := newShares(0).acquire(t.Context(), "any")
		require.True(t, ok)
		require.NoError(t, err)
	}
}
