package store_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestConnectionsOfAllProcesses: the limit holds across processes, and connections of a killed
// process expire.
func TestConnectionsOfAllProcesses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	var all sync.WaitGroup
	ids := make(chan string, 8)
	for range 8 {
		all.Go(func() {
			id, _, err := b.OpenConnection(ctx, b.server, "worker", 2)
			assert.NoError(t, err)
			if id != "" {
				ids <- id
			}
		})
	}
	all.Wait()
	require.Len(t, ids, 2)
	first, second := <-ids, <-ids
	id, holders, err := b.OpenConnection(ctx, b.server, "test", 2)
	require.NoError(t, err)
	require.Empty(t, id)
	require.Len(t, holders, 2)
	require.Contains(t, holders[0], "worker since ")
	require.NoError(t, b.CloseConnection(ctx, first))
	require.NoError(t, b.CloseConnection(ctx, first), "closing is idempotent")
	id, holders, err = b.OpenConnection(ctx, b.server, "test", 2)
	require.NoError(t, err)
	require.NotEmpty(t, id)
	require.Len(t, holders, 1)

	_, err = b.db.Exec(ctx, "UPDATE server_connections SET confirmed = now() - interval '15 seconds' WHERE connection_uuid = $1", second)
	require.NoError(t, err)
	_, holders, err = b.OpenConnection(ctx, b.server, "test", 2)
	require.NoError(t, err)
	require.Len(t, holders, 2)
	require.Regexp(t, `^worker since \d\d:\d\d:\d\dZ, may be gone: freed at \d\d:\d\d:\d\dZ$`, holders[0])
	require.Regexp(t, `^test since \d\d:\d\d:\d\dZ$`, holders[1])

	_, err = b.db.Exec(ctx, "UPDATE server_connections SET confirmed = now() - interval '21 seconds'")
	require.NoError(t, err)
	renewed, err := b.RenewConnections(ctx, []string{first, second})
	require.NoError(t, err)
	require.Equal(t, map[string]int{second: 0}, renewed, "a closed connection is not renewed")
	id, holders, err = b.OpenConnection(ctx, b.server, "test", 2)
	require.NoError(t, err)
	require.NotEmpty(t, id)
	require.Len(t, holders, 1, "the unconfirmed connection has expired")
}

// TestLearnedConnections: the limit is shared and survives restarts; higher counts are tried
// ever more rarely until one succeeds.
func TestLearnedConnections(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	limit := func() int {
		server, err := b.Server(ctx, b.server.UUID)
		require.NoError(t, err)
		return server.ConnectionLimit
	}
	require.Zero(t, limit())
	open, _, err := b.OpenConnection(ctx, b.server, "worker", 0)
	require.NoError(t, err)
	renewed := func() int {
		limits, err := b.RenewConnections(ctx, []string{open})
		require.NoError(t, err)
		require.Contains(t, limits, open)
		return limits[open]
	}
	require.Zero(t, renewed())
	last := time.Duration(0)
	for range 6 {
		require.NoError(t, b.RecordConnectionLimit(ctx, b.server.UUID, 2, time.Hour))
		require.NoError(t, b.RecordConnectionLimit(ctx, b.server.UUID, 2, time.Hour), "another process: the probe counts once")
		require.Equal(t, 2, limit())
		require.Equal(t, 2, renewed())
		var holds time.Duration
		require.NoError(t, b.db.QueryRow(ctx, "SELECT connection_limit_until - now() FROM sftp_servers").Scan(&holds))
		require.True(t, holds > last+50*time.Minute || holds > 23*time.Hour, "%s after %s", holds, last)
		require.LessOrEqual(t, holds, 24*time.Hour)
		last = holds
		_, err := b.db.Exec(ctx, "UPDATE sftp_servers SET connection_limit_until = now() - interval '1 second'")
		require.NoError(t, err)
		require.Zero(t, limit(), "the limit has expired")
		require.Zero(t, renewed())
	}
	// More connections are open than the limit: it is cleared.
	for range 3 {
		id, _, err := b.OpenConnection(ctx, b.server, "worker", 0)
		require.NoError(t, err)
		_, err = b.RenewConnections(ctx, []string{id})
		require.NoError(t, err)
	}
	require.NoError(t, b.RecordConnectionLimit(ctx, b.server.UUID, 3, time.Hour))
	var tries int
	require.NoError(t, b.db.QueryRow(ctx, "SELECT connection_limit_tries FROM sftp_servers").Scan(&tries))
	require.Equal(t, 1, tries)
	require.Equal(t, 3, limit())
}
