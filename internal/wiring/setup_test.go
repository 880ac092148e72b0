package wiring

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

func TestSetupContinuesAfterFailures(t *testing.T) {
	t.Parallel()
	ok := func(context.Context) (string, error) { return "done", nil }
	broken := func(context.Context) (string, error) {
		return "half", ingest.Errorf(ingest.KindTransient, "the broker does not respond: start it")
	}
	steps := []SetupStep{{Name: "a", Run: ok}, {Name: "b", Run: broken}, {Name: "c", Run: ok, Needs: "b"}, {Name: "d", Run: ok}}
	var reports []StepReport
	err := setUp(context.Background(), steps, func(r StepReport) { reports = append(reports, r) })
	require.EqualError(t, errors.Unwrap(err), "b: the broker does not respond: start it")
	require.Equal(t, ingest.KindTransient, ingest.KindOf(err))
	require.Len(t, reports, 4)
	require.Equal(t, "done", reports[0].Done)
	require.Empty(t, reports[1].Done)
	require.True(t, reports[2].Skipped)
	require.Equal(t, "done", reports[3].Done)
}

func TestSetupOnly(t *testing.T) {
	t.Parallel()
	var ran []string
	step := func(name string) SetupStep {
		return SetupStep{Name: name, Run: func(context.Context) (string, error) { ran = append(ran, name); return "", nil }}
	}
	steps := []SetupStep{step("a"), step("b")}
	require.NoError(t, setUp(context.Background(), steps, func(StepReport) {}, "b"))
	require.Equal(t, []string{"b"}, ran)
}

func TestLazyKeepsThePartAndNoFailure(t *testing.T) {
	t.Parallel()
	tries := 0
	l := newLazy(func(context.Context) (int, error) {
		if tries++; tries == 1 {
			return 0, errors.New("down")
		}
		return tries, nil
	})
	_, err := l.get(context.Background())
	require.Error(t, err)
	for range 3 {
		got, err := l.get(context.Background())
		require.NoError(t, err)
		require.Equal(t, 2, got)
	}
}

func TestLazyWaitObeysContext(t *testing.T) {
	t.Parallel()
	opening, release := make(chan struct{}), make(chan struct{})
	l := newLazy(func(context.Context) (int, error) {
		close(opening)
		<-release
		return 1, nil
	})
	go func() { _, _ = l.get(context.Background()) }()
	<-opening
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := l.get(ctx)
	require.ErrorIs(t, err, context.Canceled)
	close(release)
}
