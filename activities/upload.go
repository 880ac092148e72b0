package activities

import (
	"context"
	"strconv"
	"time"

	"go.temporal.io/sdk/activity"

	"stevedore/internal/ingest"
)

// UploadInput names the verified file to store.
type UploadInput struct {
	FileUUID string `json:"file_uuid"`
}

// Upload stores the staged file in the object store exactly once, verifies the object and
// frees the staged bytes. It frees them after the ledger's commit, because until then they
// are the only recorded copy.
func (a *Activities) Upload(ctx context.Context, in UploadInput) error {
	file, err := a.Ledger.Claim(ctx, in.FileUUID)
	if err != nil {
		return applicationError(err)
	}
	err = a.upload(ctx, file)
	if ingest.KindOf(err) == ingest.KindHashMismatch {
		_ = a.Staging.Discard(file.UUID)
	}
	return a.finishStep(ctx, ingest.StepUpload, file, err)
}

func (a *Activities) upload(ctx context.Context, file ingest.File) error {
	if !stored(file) {
		if err := a.storeObject(ctx, file); err != nil {
			return err
		}
	}
	a.freeStaging(ctx, file)
	return nil
}

// freeStaging discards the staged bytes of a stored file, which an attempt in another
// transfer mode may have left. A failure is left to reconciliation: the object is stored.
func (a *Activities) freeStaging(ctx context.Context, file ingest.File) {
	if err := a.Staging.Discard(file.UUID); err != nil {
		a.Log.WarnContext(ctx, "cannot free staging", "file", file.UUID, "error", err)
	}
}

func (a *Activities) storeObject(ctx context.Context, file ingest.File) error {
	staged, err := a.Staging.Staged(ctx, file.UUID)
	if err != nil {
		return err
	}
	bucket, key := a.Objects.Bucket(), ingest.ObjectKey(file)
	if err := a.apply(ctx, file, ingest.UploadStarted(file, bucket, key)); err != nil {
		return err
	}
	object, err := a.put(ctx, file, staged, key)
	if err != nil {
		return err
	}
	return a.apply(ctx, file, ingest.Uploaded(file, object))
}

func (a *Activities) put(ctx context.Context, file ingest.File, staged ingest.Staged, key string) (_ ingest.Object, err error) {
	ctx, watchdog := a.startWatchdog(ctx, watchOptions{Total: file.Size})
	defer func() { err = watchdog.stop(err) }()
	return a.Objects.Put(ctx, ingest.Put{
		Key: key, Path: staged.Path, Size: file.Size, SHA256: file.Hash,
		Metadata: objectMetadata(file),
		Stop:     activity.GetWorkerStopChannel(ctx), Progress: watchdog.report, Moved: watchdog.markAlive, Stored: watchdog.markProgress,
	})
}

// objectMetadata returns the object's metadata, without its hash.
func objectMetadata(file ingest.File) map[string]string {
	return map[string]string{
		"server": file.ServerName, "path": file.RemotePath,
		"mtime": file.ModTime.UTC().Format(time.RFC3339), "file-uuid": file.UUID,
		"size": strconv.FormatInt(file.Size, 10),
	}
}
