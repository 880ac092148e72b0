package activities

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"stevedore/internal/ingest"
)

// TestTheStallTimeoutExceedsTheServersTimeouts: the errors of the server's timeouts are
// more specific.
func TestTheStallTimeoutExceedsTheServersTimeouts(t *testing.T) {
	t.Parallel()
	a := New(Deps{StallTimeout: 2 * time.Minute})
	for _, c := range []struct{ connect, login, answer, least time.Duration }{
		{0, 0, 0, 2 * time.Minute},
		{0, 0, time.Second, 2 * time.Minute},
		{0, 0, 10 * time.Minute, 10*time.Minute + HeartbeatEvery},
		{0, 10 * time.Minute, 0, 12 * time.Minute},
		{5 * time.Minute, 0, time.Minute, 7 * time.Minute},
		{30 * time.Minute, 30 * time.Minute, 30 * time.Minute, 62 * time.Minute},
	} {
		server := ingest.Server{Options: ingest.Options{
			ConnectTimeout: ingest.Duration(c.connect), LoginTimeout: ingest.Duration(c.login), AnswerTimeout: ingest.Duration(c.answer),
		}}
		assert.Equal(t, c.least, a.stallTimeout(server), "%+v", c)
	}
}
