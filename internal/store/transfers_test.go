package store_test

import (
	"crypto/sha256"
	"encoding"
	"encoding/base64"
	"encoding/hex"
	"math"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

// checkpoint returns a checkpoint of the given number of parts; the last one is shorter.
func checkpoint(t testing.TB, parts int) ingest.TransferCheckpoint {
	t.Helper()
	state, err := sha256.New().(encoding.BinaryMarshaler).MarshalBinary()
	require.NoError(t, err)
	cp := ingest.TransferCheckpoint{UploadID: "upload", PartSize: 100, HashState: state}
	for i := range parts {
		size := cp.PartSize
		if i == parts-1 {
			size = 7
		}
		sum := sha256.Sum256([]byte{byte(i), byte(i >> 8)})
		cp.Parts = append(cp.Parts, ingest.Part{
			Number: i + 1, Size: size, ETag: hex.EncodeToString(sum[:16]), SHA256: base64.StdEncoding.EncodeToString(sum[:]),
		})
		cp.Offset += size
	}
	return cp
}

func (b *testBundle) requireTransfer(t *testing.T, fileUUID string, want ingest.TransferCheckpoint) {
	t.Helper()
	got, found, err := b.Transfer(t.Context(), fileUUID)
	require.NoError(t, err)
	require.Equal(t, want.UploadID != "", found)
	require.Equal(t, want, got)
}

func TestCheckpointsAreKeptAsGiven(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	f, err := b.Claim(ctx, b.ready(t, "/a").UUID)
	require.NoError(t, err)
	b.requireTransfer(t, f.UUID, ingest.TransferCheckpoint{})
	for _, parts := range []int{0, 1, 2, 57, 10_000} {
		cp := checkpoint(t, parts)
		require.NoError(t, b.SaveTransfer(ctx, f.UUID, f.Fence, cp))
		require.NoError(t, b.SaveTransfer(ctx, f.UUID, f.Fence, cp), "again")
		b.requireTransfer(t, f.UUID, cp)
	}
	require.NoError(t, b.ForgetTransfer(ctx, f.UUID))
	require.NoError(t, b.ForgetTransfer(ctx, f.UUID), "again")
	b.requireTransfer(t, f.UUID, ingest.TransferCheckpoint{})
}

func TestCheckpointsAreFenced(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	old, err := b.Claim(ctx, b.ready(t, "/a").UUID)
	require.NoError(t, err)
	cp := checkpoint(t, 3)
	require.NoError(t, b.SaveTransfer(ctx, old.UUID, old.Fence, cp))
	_, err = b.Claim(ctx, old.UUID)
	require.NoError(t, err)
	requireKind(t, ingest.KindFenced, b.SaveTransfer(ctx, old.UUID, old.Fence, checkpoint(t, 2)), "attempt 1 must stop")
	b.requireTransfer(t, old.UUID, cp)
	requireKind(t, ingest.KindMissing, b.SaveTransfer(ctx, uuid.NewString(), 1, cp), "no file")
}

func TestInvalidCheckpointsAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	f, err := b.Claim(t.Context(), b.ready(t, "/a").UUID)
	require.NoError(t, err)
	for name, spoil := range map[string]func(*ingest.TransferCheckpoint){
		"gap":            func(cp *ingest.TransferCheckpoint) { cp.Parts[2].Number = 4 },
		"short part":     func(cp *ingest.TransferCheckpoint) { cp.Parts[0].Size, cp.Offset = 99, cp.Offset-1 },
		"large part":     func(cp *ingest.TransferCheckpoint) { cp.Parts[2].Size, cp.Offset = 101, 301 },
		"other offset":   func(cp *ingest.TransferCheckpoint) { cp.Offset++ },
		"too many parts": func(cp *ingest.TransferCheckpoint) { *cp = checkpoint(t, 10_001) },
	} {
		cp := checkpoint(t, 3)
		spoil(&cp)
		err := b.SaveTransfer(t.Context(), f.UUID, f.Fence, cp)
		require.Equal(t, ingest.KindInvalid, ingest.KindOf(err), "%s: %v", name, err)
	}
	b.requireTransfer(t, f.UUID, ingest.TransferCheckpoint{})
}

// Any terminal status deletes the file's checkpoint; a failed or deferred file keeps it and
// resumes.
func TestCheckpointsEndWithTheirFile(t *testing.T) {
	t.Parallel()
	for _, end := range []ingest.Status{ingest.StatusCompleted, ingest.StatusSkipped, ingest.StatusVanished, ingest.StatusSuperseded} {
		b := setup(t)
		ctx := t.Context()
		f, err := b.Claim(ctx, b.ready(t, "/a").UUID)
		require.NoError(t, err)
		cp := checkpoint(t, 3)
		b.walk(t, f.UUID, ingest.StatusDownloading)
		require.NoError(t, b.SaveTransfer(ctx, f.UUID, f.Fence, cp))
		b.deferFile(t, f.UUID, 1)
		b.walk(t, f.UUID, ingest.StatusDownloading, ingest.StatusError)
		b.requireTransfer(t, f.UUID, cp)
		if end == ingest.StatusCompleted {
			b.walk(t, f.UUID, ingest.StatusUploaded)
			b.requireTransfer(t, f.UUID, cp)
		}
		b.walk(t, f.UUID, end)
		b.requireTransfer(t, f.UUID, ingest.TransferCheckpoint{})
		requireKind(t, ingest.KindConflict, b.SaveTransfer(ctx, f.UUID, f.Fence, cp), "its transfer has ended")
		b.requireTransfer(t, f.UUID, ingest.TransferCheckpoint{})
	}
}

// Claims and checkpoints are serialized: no checkpoint is written under an older fence.
func TestCheckpointsAndClaimsAreSerialized(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	f, err := b.Claim(ctx, b.ready(t, "/a").UUID)
	require.NoError(t, err)
	claiming, err := b.db.Begin(ctx)
	require.NoError(t, err)
	defer func() { _ = claiming.Rollback(ctx) }()
	_, err = claiming.Exec(ctx, "UPDATE files SET fence = fence + 1")
	require.NoError(t, err)
	saved := make(chan error, 1)
	go func() { saved <- b.SaveTransfer(ctx, f.UUID, f.Fence, checkpoint(t, 1)) }()
	b.waitForLock(t)
	require.NoError(t, claiming.Commit(ctx))
	requireKind(t, ingest.KindFenced, <-saved, "attempt 1 must stop")
	b.requireTransfer(t, f.UUID, ingest.TransferCheckpoint{})
}

// Saving the largest checkpoint takes a fraction of the second between two checkpoints.
func TestLargestCheckpointIsSavedQuickly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	f, err := b.Claim(t.Context(), b.ready(t, "/a").UUID)
	require.NoError(t, err)
	cp := checkpoint(t, 10_000)
	least := time.Duration(math.MaxInt64) // the minimum excludes the load of the machine
	for range 10 {
		began := time.Now()
		require.NoError(t, b.SaveTransfer(t.Context(), f.UUID, f.Fence, cp))
		least = min(least, time.Since(began))
	}
	var size int64
	require.NoError(t, b.db.QueryRow(t.Context(), "SELECT pg_column_size(parts) FROM transfers").Scan(&size))
	t.Logf("%d bytes, %s at least", size, least.Round(time.Millisecond))
	assert.LessOrEqual(t, size, int64(900_000))
	assert.Less(t, least, time.Second/2)
}
