package store_test

import (
	"bytes"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/store"
)

// cutter is a proxy between a client and PostgreSQL. When armed, it cuts one connection at the
// worst moment: PostgreSQL has executed a statement and its response is in flight.
type cutter struct {
	listener net.Listener
	target   string
	// statement triggers the cut; nil disables it.
	statement atomic.Pointer[[]byte]
	cuts      atomic.Int32
	open      sync.WaitGroup
}

// startCutter starts a cutter in front of the database and returns it with its URL.
func startCutter(t *testing.T, dsn string) (*cutter, string) {
	t.Helper()
	u, err := url.Parse(dsn)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c := &cutter{listener: listener, target: u.Host}
	u.Host = listener.Addr().String()
	query := u.Query()
	query.Set("sslmode", "disable")
	u.RawQuery = query.Encode()
	c.open.Go(func() { c.accept() })
	t.Cleanup(func() {
		_ = listener.Close()
		c.open.Wait()
	})
	return c, u.String()
}

func (c *cutter) accept() {
	for {
		client, err := c.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", c.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		var cut atomic.Bool
		c.open.Go(func() { c.up(server, client, &cut) })
		c.open.Go(func() { down(client, server, &cut) })
	}
}

// arm cuts the next connection that sends the statement.
func (c *cutter) arm(statement string) {
	text := []byte(statement)
	c.statement.Store(&text)
}

func (c *cutter) up(server, client net.Conn, cut *atomic.Bool) {
	defer func() { _ = server.Close(); _ = client.Close() }()
	buffer := make([]byte, 1<<20)
	for {
		n, err := client.Read(buffer)
		if armed := c.statement.Load(); armed != nil && bytes.Contains(buffer[:n], *armed) && c.statement.CompareAndSwap(armed, nil) {
			c.cuts.Add(1)
			cut.Store(true)
		}
		if _, writeErr := server.Write(buffer[:n]); err != nil || writeErr != nil {
			return
		}
	}
}

// down waits for the response before it cuts, so that the statement has been executed.
func down(client, server net.Conn, cut *atomic.Bool) {
	defer func() { _ = server.Close(); _ = client.Close() }()
	buffer := make([]byte, 1<<20)
	for {
		n, err := server.Read(buffer)
		if cut.Load() {
			return
		}
		if _, writeErr := client.Write(buffer[:n]); err != nil || writeErr != nil {
			return
		}
	}
}

func TestLostResponsesChangeNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	proxy, dsn := startCutter(t, b.dsn)
	cutOff, err := store.New(ctx, store.Config{DatabaseURL: dsn, MaxConns: 2})
	require.NoError(t, err)
	t.Cleanup(cutOff.Close)
	lost := func(statement string, call func() error) {
		t.Helper()
		before := proxy.cuts.Load()
		proxy.arm(statement)
		require.NoError(t, call())
		require.Equal(t, before+1, proxy.cuts.Load(), "the fault did not fire")
	}

	given := ingest.Server{Name: "globex", Host: "h", Username: "u", Active: true}
	lost("commit", func() error { b.server, err = cutOff.AddServer(ctx, given); return err })
	lost("commit", func() error {
		_, err := cutOff.Observe(ctx, b.server.UUID, "schedule", paths("/in", 3))
		return err
	})
	require.Len(t, b.files(t), 3)
	lost("last_seen_at - stable_since", func() error { _, _, err := cutOff.Promote(ctx, ingest.Server{UUID: b.server.UUID}); return err })
	f := b.files(t)[0]

	slot := b.dispatcher(t).reserve(t, 1).Slots[0]
	require.Equal(t, f.UUID, slot.File.UUID)

	// The text of an event is sent with the statements and with the commit.
	var taken ingest.File
	started := ingest.Started(slot.File, ingest.ModeDirect, slot.Number, "")
	lost(`"server":"globex"`, func() error { taken, err = cutOff.ClaimAndApply(ctx, started); return err })
	require.Equal(t, ingest.StatusDownloading, taken.Status)
	require.Equal(t, f.Fence+2, taken.Fence, "each attempt raises the fence")
	lost(`"offset":5`, func() error { return cutOff.Apply(ctx, ingest.Resumed(taken, 5)) })
	lost("it stutters", func() error {
		return cutOff.Apply(ctx, ingest.Failed(taken, ingest.Failure{Step: ingest.StepTransfer, Message: "it stutters"}))
	})
	decision := ingest.OperatorActed(f.UUID, ingest.OperatorAction{Action: ingest.ActionRetry, Key: "run/1", Actor: "ann"})
	lost(`"actor":"ann"`, func() error { return cutOff.Apply(ctx, decision) })

	now := b.files(t)[0]
	assert.Equal(t, ingest.StatusReady, now.Status)
	assert.Equal(t, 1, now.Round)
	slots, err := b.Slots(ctx, b.server.UUID)
	require.NoError(t, err)
	require.Empty(t, slots)
	types, _ := b.eventTypes(t, f.UUID)
	assert.Equal(t, []ingest.EventType{
		ingest.EventDiscovered, ingest.EventSettled, ingest.EventDownloadStarted, ingest.EventDownloadResumed,
		ingest.EventError, ingest.EventOperatorAction,
	}, types)
}
