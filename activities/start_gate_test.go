package activities

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestListingsWaitForPasses: a listing waits for the passes that start scans, for a
// bounded time.
func TestListingsWaitForPasses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var gate startGate
		waited := func(atMost time.Duration) time.Duration {
			began := time.Now()
			gate.wait(t.Context(), atMost)
			return time.Since(began)
		}
		assert.Zero(t, waited(time.Minute), "no pass is running")
		for range 2 { // the gate is reusable
			time.AfterFunc(time.Second, gate.enter())
			time.AfterFunc(2*time.Second, gate.enter())
			assert.Equal(t, 2*time.Second, waited(time.Minute))
		}
		leave := gate.enter()
		assert.Equal(t, time.Second, waited(time.Second), "a pass that takes longer than the timeout does not block")
		leave()
		assert.Zero(t, waited(time.Minute))
	})
}
