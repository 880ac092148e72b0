package store_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

// Unread folders are recorded with the scan, and with the server until a completed scan
// replaces them.
func TestUnreadFoldersAreKept(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	var unread ingest.Unread
	unread.Add("/in/\xff\x00closed", "may not be read by user u: it returned \"no\\x00\"")
	finish := func(r ingest.ScanResult) ingest.Server {
		r.ServerUUID = b.server.UUID
		require.NoError(t, b.FinishScan(ctx, r))
		server, err := b.Server(ctx, b.server.UUID)
		require.NoError(t, err)
		return server
	}
	id, err := b.StartScan(ctx, b.server.UUID, "one")
	require.NoError(t, err)
	assert.Equal(t, unread, finish(ingest.ScanResult{ScanID: id, Unread: unread}).Unread)
	scan := b.latestScan(t)
	assert.Equal(t, unread, scan.Unread)
	scans, err := b.ScansBefore(ctx, "", 0, 10)
	require.NoError(t, err)
	assert.Equal(t, unread, scans[0].Unread)

	failure := &ingest.Failure{Kind: ingest.KindTransient, Message: "it was away"}
	assert.Equal(t, unread, finish(ingest.ScanResult{Key: "two", Failure: failure}).Unread, "a failed scan does not change them")
	assert.Zero(t, finish(ingest.ScanResult{Key: "three"}).Unread)
	assert.Equal(t, unread, finish(ingest.ScanResult{Key: "four", Unread: unread}).Unread)
	scan = b.latestScan(t)
	assert.Equal(t, unread, scan.Unread)
}

// Consecutive attempts that leave their scan open are counted.
func TestScanDeaths(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var id int64
	attempt := func() (deaths int) {
		var err error
		id, err = b.StartScan(t.Context(), b.server.UUID, "one")
		require.NoError(t, err)
		deaths, err = b.ScanCrashes(t.Context(), id)
		require.NoError(t, err)
		return deaths
	}
	assert.Equal(t, []int{0, 1, 2}, []int{attempt(), attempt(), attempt()})
	require.NoError(t, b.FinishScan(t.Context(), ingest.ScanResult{ScanID: id, ServerUUID: b.server.UUID}))
	assert.Equal(t, []int{0, 1}, []int{attempt(), attempt()})
}

// A server's rejected rows are limited; files do not count.
func TestRejectedRowsHaveALimit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	rejected := func(from, n int) (batch []ingest.Observation) {
		for i := range n {
			batch = append(batch, ingest.Observation{Path: fmt.Sprintf("/in/%06d", from+i), Rejected: "is a FIFO"})
		}
		return batch
	}
	observe := func(batch []ingest.Observation) ingest.ScanCounts {
		counts, err := b.Observe(t.Context(), b.server.UUID, "schedule", batch)
		require.NoError(t, err)
		return counts
	}
	rows := func() int64 {
		n, err := b.CountMatching(t.Context(), ingest.FileFilter{Server: b.server.UUID, Statuses: []ingest.Status{ingest.StatusRejected}})
		require.NoError(t, err)
		return n
	}
	assert.EqualValues(t, ingest.MaxRejected-5, observe(rejected(0, ingest.MaxRejected-5)).Rejected)
	batch := append(rejected(ingest.MaxRejected, 20), ingest.Observation{Path: "/in/good.csv", Size: 1})
	counts := observe(batch)
	assert.EqualValues(t, 20, counts.Rejected, "all are counted")
	assert.EqualValues(t, 1, counts.New)
	assert.EqualValues(t, ingest.MaxRejected, rows())

	late := rejected(2*ingest.MaxRejected, 1)
	late[0].Unrecorded = true
	assert.EqualValues(t, 1, observe(late).Rejected)
	assert.EqualValues(t, ingest.MaxRejected, rows())
}
