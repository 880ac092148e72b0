package operations

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

func TestReadyAsksAllPartsAndNamesTheDown(t *testing.T) {
	t.Parallel()
	// Each check waits for the other, so sequential checks would time out.
	first, second := make(chan struct{}), make(chan struct{})
	a := New(Deps{Checks: []Check{
		{"postgres", func(ctx context.Context) error {
			close(first)
			select {
			case <-second:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}},
		{"broker", func(ctx context.Context) error {
			close(second)
			select {
			case <-first:
				return errors.New("refused")
			case <-ctx.Done():
				return ctx.Err()
			}
		}},
	}})
	statuses := a.Ready(context.Background())
	require.NoError(t, statuses[0].Err)
	require.EqualError(t, statuses[1].Err, "refused")
}

// The further lines of an unclassified error may have addresses or user names.
func TestMessageOfAPartIsItsFirstLine(t *testing.T) {
	t.Parallel()
	require.Equal(t, "cannot connect", PartStatus{Err: errors.New("cannot connect\nuser admin at 10.0.0.1")}.Message())
	known := ingest.Wrap(ingest.KindTransient, errors.New("user admin at 10.0.0.1"), "PostgreSQL is unavailable")
	require.Equal(t, "PostgreSQL is unavailable", PartStatus{Err: known}.Message())
}
