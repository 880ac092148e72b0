package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

// TestOnlyAnOperatorReprocesses: a completed file starts another round once per action, keeps
// the hash of the published notification, and no step can restart it.
func TestOnlyAnOperatorReprocesses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	file := b.ready(t, "/a.csv")
	action := ingest.OperatorAction{Action: ingest.ActionReprocess, Actor: "ann", Reason: "lost", Key: "k1", Verified: true}
	err := b.Reprocess(ctx, file.UUID, action)
	require.Equal(t, ingest.KindConflict, ingest.KindOf(err), "only a completed file can be reprocessed")

	b.exec(t, `UPDATE files SET status = 'downloading', file_hash = 'h1', minio_object_key = 'files/a', minio_bucket = 'b'`)
	for _, status := range []string{"downloaded", "verified", "uploading", "uploaded", "completed"} {
		b.exec(t, `UPDATE files SET status = $1`, status)
	}
	claimed, err := b.Claim(ctx, file.UUID)
	require.NoError(t, err)
	err = b.Apply(ctx, ingest.Requeued(claimed, 0, "a late attempt", "late"))
	require.Equal(t, ingest.KindConflict, ingest.KindOf(err), "no step restarts a completed file")

	require.NoError(t, b.Reprocess(ctx, file.UUID, action))
	require.NoError(t, b.Reprocess(ctx, file.UUID, action), "the response was lost")
	now := b.only(t)
	require.Equal(t, ingest.StatusReady, now.Status)
	require.Equal(t, file.Round+1, now.Round)
	require.Equal(t, []string{"h1", "h1", "", ""}, []string{now.Hash, now.NotifiedHash, now.ObjectKey, now.Bucket})
	require.True(t, now.CompletedAt.IsZero())
	err = b.Apply(ctx, slotReleased(claimed))
	require.Equal(t, ingest.KindFenced, ingest.KindOf(err), "attempts of the old round are fenced")
	types, last := b.eventTypes(t, file.UUID)
	require.Equal(t, ingest.EventOperatorAction, types[len(types)-1])
	require.Equal(t, "reprocess", last["action"])
	require.NoError(t, now.Accept("h1"))
	require.Equal(t, ingest.KindHashMismatch, ingest.KindOf(now.Accept("h2")))
}
