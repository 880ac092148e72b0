package activities

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestSlowServersStarveNobody: two servers whose transfers never end hold all that a
// worker runs of its own accord; a third one is served all the same.
func TestSlowServersStarveNobody(t *testing.T) {
	t.Parallel()
	s := newShares(8)
	enter := func(server string) (leave func(), ok bool) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // whoever would wait gives up
		leave, ok, err := s.acquire(ctx, server)
		return leave, ok && err == nil
	}
	for i := range 8 {
		_, ok := enter([]string{"slow", "slower"}[i%2])
		require.True(t, ok)
	}
	_, ok := enter("slow")
	require.False(t, ok, "it has more than it is assured of")
	first, ok := enter("good")
	require.True(t, ok)
	second, ok := enter("good")
	require.True(t, ok)
	_, ok = enter("good")
	require.False(t, ok, "assured is a quarter")
	first()
	first()
	_, ok = enter("good")
	require.True(t, ok, "what has left makes room, once")
	second()
	for _, server := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		enter(server)
		enter(server)
	}
	require.Equal(t, 16, s.total, "twice the most is the most")
	_, ok = enter("last")
	require.False(t, ok)
}

func TestTurnsGoToWhoHasTheFewest(t *testing.T) {
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
	require.False(t, ok, "one of the server waits here; more would keep others out")
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
