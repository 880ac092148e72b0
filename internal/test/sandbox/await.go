package sandbox

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Eventually checks the condition every tick until it holds or the time is over. Unlike
// testify's Eventually it runs the condition in the test's goroutine, so that the
// condition may call t.FailNow. A func() string in why is evaluated on failure.
func Eventually(t testing.TB, holds func() bool, within, tick time.Duration, why ...any) {
	t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	again := time.NewTicker(tick)
	defer again.Stop()
	for !holds() {
		select {
		case <-again.C:
		case <-deadline.C:
			for i, w := range why {
				if ask, ok := w.(func() string); ok {
					why[i] = ask()
				}
			}
			require.FailNow(t, "condition not met within "+within.String(), why...)
		}
	}
}
