package sandbox

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Eventually waits until the condition holds and looks every tick. Unlike
// testify's it asks in the test's own goroutine, so that a condition may use
// what ends the test when it fails. A func() string among the reasons is asked
// at the end.
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
			require.FailNow(t, "this never came true within "+within.String(), why...)
		}
	}
}
