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

// beats counts signs of life; every other one fails.
type beats struct {
	activities.Debris
	seen chan string
	n    int
}

func (b *beats) SeeHost(_ context.Context, hostID string) error {
	if b.n++; b.n%2 == 0 {
		return errors.New("the database is away")
	}
	b.seen <- hostID
	return nil
}

// TestAWorkerSaysThatItLives: again and again, whatever becomes of one sign.
func TestAWorkerSaysThatItLives(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	hosts := &beats{seen: make(chan string)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		beat(ctx, time.Millisecond, hosts, "a", slog.New(slog.DiscardHandler))
	}()
	for range 3 {
		select {
		case id := <-hosts.seen:
			require.Equal(t, "a", id)
		case <-time.After(time.Minute):
			t.Fatal("it gave no sign of life")
		}
	}
	cancel()
	go func() { // one may be on its way
		for range hosts.seen {
		}
	}()
	<-ended
	close(hosts.seen)
}
