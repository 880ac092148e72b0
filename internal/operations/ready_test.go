package operations

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
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
