package amqp

import (
	"context"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

// The broker's block report ends waits immediately and holds new messages back
// until it is withdrawn.
func TestBlockedBrokerEndsWaits(t *testing.T) {
	t.Parallel()
	l := &link{dead: make(chan struct{}), block: newBlock()}
	require.NoError(t, l.refusing())
	waiting := make(chan error, 1)
	go func() { waiting <- l.await(context.Background(), nil) }()
	l.noteBlock(amqp091.Blocking{Active: true, Reason: "low on memory"})
	l.noteBlock(amqp091.Blocking{Active: true, Reason: "low on disk"})
	select {
	case err := <-waiting:
		require.Equal(t, blockedError{"low on memory"}, err)
	case <-time.After(time.Minute):
		t.Fatal("still waiting")
	}
	err := l.refusing()
	require.Error(t, err)
	p, newErr := New(Config{URL: "amqp://u:hushhush@h:5672/", Queue: "q"})
	require.NoError(t, newErr)
	shown := p.explain(context.Background(), err, "publish the notification")
	require.Equal(t, ingest.KindTransient, ingest.KindOf(shown))
	require.ErrorContains(t, shown, "broker blocked: low on memory")

	l.noteBlock(amqp091.Blocking{Active: false})
	require.NoError(t, l.refusing())
	done := make(chan struct{})
	close(done)
	require.NoError(t, l.await(context.Background(), done))
}
