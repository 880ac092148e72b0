package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

// TestFilesThatWaitForThePartner: the counts distinguish them from files in progress and from
// held files.
func TestFilesThatWaitForThePartner(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	none, err := b.PartnerWaits(ctx, []string{b.server.UUID})
	require.NoError(t, err)
	require.Empty(t, none)
	b.exec(t, `UPDATE sftp_servers SET options = '{"min_size": 5}'`)
	marker, small := seen("/a", 9), seen("/b", 1)
	rules := ingest.Server{DoneMarker: "*.done", Options: ingest.Options{MinSize: 5}}
	marker.WaitsFor, small.WaitsFor = rules.WaitsForMarker("/a", epoch, ingest.Companion{}), rules.WaitsForSize(1)
	b.observe(t, marker, small, seen("/settles", 1), seen("/held", 1))
	b.exec(t, "UPDATE files SET hold = 'held' WHERE remote_path = '/held'")
	misfit := b.ready(t, "/misfit")
	b.exec(t, `UPDATE files SET status = 'downloading' WHERE file_uuid = $1`, misfit.UUID)
	b.exec(t, `UPDATE files SET status = 'downloaded', error_kind = 'hash_mismatch', error_message = 'misfit.md5 does not match yet' WHERE file_uuid = $1`, misfit.UUID)
	waits, err := b.PartnerWaits(ctx, []string{b.server.UUID})
	require.NoError(t, err)
	one := waits[b.server.UUID]
	require.EqualValues(t, []int64{3, 1, 1, 1}, []int64{one.Files, one.Markers, one.Small, one.Others})
	require.Equal(t, 1970, one.ListedAt.Year())

	scan, err := b.StartScan(ctx, b.server.UUID, "k")
	require.NoError(t, err)
	b.exec(t, "UPDATE scans SET finished_at = now() WHERE id = $1", scan)
	b.exec(t, "UPDATE files SET status = 'vanished' WHERE remote_path = '/settles'")
	waits, err = b.PartnerWaits(ctx, []string{b.server.UUID})
	require.NoError(t, err)
	require.True(t, waits[b.server.UUID].Only(b.server.CreatedAt))
}
