package activities_test

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/objstore"
	"stevedore/internal/test/sandbox"
	"stevedore/internal/transfer"
)

// directPart is S3's minimum part size.
const directPart = 5 << 20

// directBench runs Transfer with real services and hooks to disturb it.
type directBench struct {
	*bench
	objects *objstore.Store
	parts   *countedParts
	copier  *hookedCopier
}

// countedParts counts the bytes sent to the store and can refuse parts.
type countedParts struct {
	activities.DirectObjects
	writer interface {
		PutPart(context.Context, ingest.PutPart) (ingest.Part, error)
	}
	sent   atomic.Int64
	before func(number int) // may be nil
	refuse atomic.Int64     // the number from which parts are refused; 0 for none
}

func (c *countedParts) PutPart(ctx context.Context, req ingest.PutPart) (ingest.Part, error) {
	if c.before != nil {
		c.before(req.Number)
	}
	if n := c.refuse.Load(); n > 0 && int64(req.Number) >= n {
		return ingest.Part{}, errors.New("the store is unavailable")
	}
	part, err := c.writer.PutPart(ctx, req)
	c.sent.Add(part.Size)
	return part, err
}

// hookedCopier calls after, which may be nil, after a copy.
type hookedCopier struct {
	activities.DirectCopier
	after func() error
}

func (d *hookedCopier) Copy(ctx context.Context, req ingest.DirectTransfer) (ingest.DirectResult, error) {
	result, err := d.DirectCopier.Copy(ctx, req)
	if err == nil && d.after != nil {
		err = d.after()
	}
	return result, err
}

func newDirectBench(t *testing.T) *directBench {
	t.Helper()
	b := &directBench{bench: newBench(t)}
	var err error
	b.objects, err = objstore.New(objstore.Config{
		Endpoint: b.S3.Endpoint, AccessKey: b.S3.AccessKey, SecretKey: b.S3.SecretKey, Bucket: b.S3.Bucket, Region: b.S3.Region,
	})
	require.NoError(t, err)
	t.Cleanup(b.objects.Close)
	b.parts = &countedParts{DirectObjects: b.objects, writer: b.objects}
	direct, err := transfer.NewDirect(transfer.DirectConfig{Parts: b.parts, PartSize: directPart, SaveBytes: 1})
	require.NoError(t, err)
	b.copier = &hookedCopier{DirectCopier: direct}
	b.acts.Direct = activities.DirectDeps{Transfers: b.Store, Objects: b.parts, Copier: b.copier}
	return b
}

func (b *directBench) transfer(t *testing.T, f ingest.File) string {
	t.Helper()
	return b.run(t, activities.NameTransfer, activities.TransferInput{FileUUID: f.UUID})
}

// requireNothingVisible checks that a failed transfer left no object, upload or checkpoint.
func (b *directBench) requireNothingVisible(t *testing.T, f ingest.File) {
	t.Helper()
	assert.Empty(t, b.S3.Objects(t))
	assert.Zero(t, b.S3.OpenUploads(t))
	_, found, err := b.Store.Transfer(b.Context(t), f.UUID)
	require.NoError(t, err)
	assert.False(t, found, "the checkpoint is removed with the upload")
}

func TestTransferMovesAFileDirectly(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"empty": 0, "one part": 5000, "parts": 2*directPart + 77} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newDirectBench(t)
			f := b.ready(t, "a.bin", sandbox.Random(size))
			require.Empty(t, b.transfer(t, f))
			require.Empty(t, b.transfer(t, f), "the result of the first attempt may be lost")
			now, err := b.Store.File(b.Context(t), f.UUID)
			require.NoError(t, err)
			assert.Equal(t, ingest.StatusUploaded, now.Status)
			assert.Equal(t, ingest.ModeDirect, now.Mode)
			assert.NotEmpty(t, now.Checksum)
			objects := b.S3.Objects(t)
			require.Len(t, objects, 1)
			assert.Equal(t, now.Hash, objects[0].SHA256)
			assert.EqualValues(t, size, objects[0].Size)
			assert.Zero(t, b.S3.OpenUploads(t))
			assert.NoFileExists(t, b.staged(f))
			require.Empty(t, b.notify(t, f))
			assert.Equal(t, ingest.StatusCompleted, b.status(t, f))
			events := b.Events(t, f.UUID)
			assert.Equal(t, "transfer", sandbox.Detail(events, ingest.EventVerified, "source"))
			assert.Equal(t, "direct:", sandbox.Detail(events, ingest.EventDownloaded, "temp_path"))
		})
	}
}

// TestTransferResumesFromTheLedger: any worker can resume a transfer.
func TestTransferResumesFromTheLedger(t *testing.T) {
	t.Parallel()
	b := newDirectBench(t)
	content := sandbox.Random(4*directPart + 5)
	f := b.ready(t, "a.bin", content)
	b.parts.refuse.Store(3)
	require.Equal(t, string(ingest.KindTransient), b.transfer(t, f))
	cp, found, err := b.Store.Transfer(b.Context(t), f.UUID)
	require.NoError(t, err)
	require.True(t, found)
	require.EqualValues(t, 2*directPart, cp.Offset)
	assert.Empty(t, b.S3.Objects(t), "no object is visible before the end")

	b.parts.refuse.Store(0)
	b.parts.sent.Store(0)
	require.Empty(t, b.transfer(t, f))
	assert.EqualValues(t, 2*directPart+5, b.parts.sent.Load(), "only the missing parts were sent")
	assert.EqualValues(t, 2*directPart, sandbox.Detail(b.Events(t, f.UUID), ingest.EventDownloadResumed, "offset"))
	assert.Equal(t, ingest.StatusUploaded, b.status(t, f))
	_, found, err = b.Store.Transfer(b.Context(t), f.UUID)
	require.NoError(t, err)
	assert.False(t, found)
}

// TestTransferReconnects: a new connection continues the same attempt, and the bytes of a
// partly read part are kept.
func TestTransferReconnects(t *testing.T) {
	t.Parallel()
	b := newDirectBench(t)
	f := b.ready(t, "a.bin", sandbox.Random(8*directPart))
	logins := b.countLogins()
	b.parts.before = func(number int) {
		if number == 1 || number == 4 {
			b.sshd.KillSessions()
		}
	}
	require.Empty(t, b.transfer(t, f))
	assert.Equal(t, ingest.StatusUploaded, b.status(t, f))
	assert.EqualValues(t, 8*directPart, b.parts.sent.Load())
	assert.GreaterOrEqual(t, logins.count.Load(), int64(2))
	assert.Empty(t, sandbox.Detail(b.Events(t, f.UUID), ingest.EventRetryScheduled, "kind"), "an attempt that reconnects records no retry")
}

// TestTransferRestartsWithoutItsUpload: the store has lost the upload.
func TestTransferRestartsWithoutItsUpload(t *testing.T) {
	t.Parallel()
	b := newDirectBench(t)
	f := b.ready(t, "a.bin", sandbox.Random(3*directPart))
	b.parts.refuse.Store(3)
	require.NotEmpty(t, b.transfer(t, f))
	cp, _, err := b.Store.Transfer(b.Context(t), f.UUID)
	require.NoError(t, err)
	require.NoError(t, b.objects.AbortUpload(b.Context(t), ingest.ObjectKey(f), cp.UploadID))
	b.parts.refuse.Store(0)
	require.Empty(t, b.transfer(t, f))
	assert.Equal(t, ingest.StatusUploaded, b.status(t, f))
}

func TestTransferComparesThePartnersChecksum(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"one part": 5000, "parts": directPart + 77} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newDirectBench(t)
			content := sandbox.Random(size)
			sum := md5.Sum(content)
			b.sshd.Write(t, "good.bin.md5", []byte(hex.EncodeToString(sum[:])))
			good := b.ready(t, "good.bin", content)
			require.NotEmpty(t, good.Sidecar)
			b.sshd.Write(t, "bad.bin.md5", []byte("00000000000000000000000000000000  bad.bin\n"))
			bad := b.ready(t, "bad.bin", sandbox.Random(size+1))
			require.Equal(t, string(ingest.KindHashMismatch), b.transfer(t, bad))
			b.requireNothingVisible(t, bad)
			require.Empty(t, b.transfer(t, good))
			assert.Equal(t, "good.bin.md5 (MD5, weak)", sandbox.Detail(b.Events(t, good.UUID), ingest.EventVerified, "source"))
		})
	}
}

// TestTransferOfAFileThatChanges: the last check of the source precedes the completion of the
// upload.
func TestTransferOfAFileThatChanges(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(path string) error
		kind   ingest.Kind
	}{
		"grown":     {func(path string) error { return os.Truncate(path, 3*directPart) }, ingest.KindChanged},
		"truncated": {func(path string) error { return os.Truncate(path, 7) }, ingest.KindChanged},
		"gone":      {os.Remove, ingest.KindNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newDirectBench(t)
			f := b.ready(t, "a.bin", sandbox.Random(2*directPart))
			b.copier.after = func() error { return c.change(b.sshd.Path("a.bin")) }
			require.Equal(t, string(c.kind), b.transfer(t, f))
			b.requireNothingVisible(t, f)
		})
	}
}

// TestTransferFindsItsObject: the object was stored but not recorded; then the source was
// removed.
func TestTransferFindsItsObject(t *testing.T) {
	t.Parallel()
	b := newDirectBench(t)
	f := b.ready(t, "a.bin", sandbox.Random(2*directPart))
	ledger := b.acts.Ledger
	b.acts.Ledger = failingLedger{ledger, ingest.StatusUploaded}
	require.NotEmpty(t, b.transfer(t, f))
	b.acts.Ledger = ledger
	require.Len(t, b.S3.Objects(t), 1)
	require.Equal(t, ingest.StatusDownloading, b.status(t, f))
	require.NoError(t, os.Remove(b.sshd.Path("a.bin")))
	require.Empty(t, b.transfer(t, f))
	assert.Equal(t, ingest.StatusUploaded, b.status(t, f))
	assert.Len(t, b.S3.Objects(t), 1)
}

// TestTransferThatLostItsFence: the attempt changes nothing, even if it finds that the file
// has changed.
func TestTransferThatLostItsFence(t *testing.T) {
	t.Parallel()
	b := newDirectBench(t)
	f := b.ready(t, "a.bin", sandbox.Random(2*directPart))
	b.copier.after = func() error {
		_, err := b.Store.Claim(b.Context(t), f.UUID)
		return errors.Join(err, os.Truncate(b.sshd.Path("a.bin"), 7))
	}
	require.Equal(t, string(ingest.KindChanged), b.transfer(t, f))
	assert.Equal(t, 1, b.S3.OpenUploads(t), "the upload belongs to another attempt now")
	cp, found, err := b.Store.Transfer(b.Context(t), f.UUID)
	require.NoError(t, err)
	assert.True(t, found)
	assert.EqualValues(t, 2*directPart, cp.Offset)
}

func TestTransferNeedsItsSlot(t *testing.T) {
	t.Parallel()
	b := newDirectBench(t)
	f := b.ready(t, "a.bin", sandbox.Random(10))
	require.Equal(t, string(ingest.KindNoSlot), b.run(t, activities.NameTransfer, activities.TransferInput{FileUUID: f.UUID, Slot: 1 << 40}))
	assert.Equal(t, ingest.StatusReady, b.status(t, f))
}

// TestTransferDoesNotReplaceAnObject: an object of another writer is kept.
func TestTransferDoesNotReplaceAnObject(t *testing.T) {
	t.Parallel()
	b := newDirectBench(t)
	f := b.ready(t, "a.bin", sandbox.Random(directPart+1))
	body := []byte("another")
	_, err := b.objects.PutBytes(b.Context(t), ingest.PutBytes{Key: ingest.ObjectKey(f), Body: body, SHA256: sha(body)})
	require.NoError(t, err)
	require.Equal(t, string(ingest.KindConflict), b.transfer(t, f))
	objects := b.S3.Objects(t)
	require.Len(t, objects, 1)
	assert.Equal(t, sha(body), objects[0].SHA256)
}

func sha(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
