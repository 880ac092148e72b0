package worker

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/activities"
)

// hostLedger receives host heartbeats; every other one fails.
type hostLedger struct {
	activities.Reconciliation
	seen chan string
	n    int
}

func (b *hostLedger) RecordHeartbeat(_ context.Context, hostID string) error {
	if b.n++; b.n%2 == 0 {
		return errors.New("the database is down")
	}
	b.seen <- hostID
	return nil
}

func TestHeartbeatHostRepeatsDespiteErrors(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	hosts := &hostLedger{seen: make(chan string)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		heartbeatHost(ctx, time.Millisecond, hosts, "a", slog.New(slog.DiscardHandler))
	}()
	for range 3 {
		select {
		case id := <-hosts.seen:
			require.Equal(t, "a", id)
		case <-time.After(time.Minute):
			t.Fatal("no heartbeat")
		}
	}
	cancel()
	go func() { // one may be in flight
		for range hosts.seen {
		}
	}()
	<-ended
	close(hosts.seen)
}
