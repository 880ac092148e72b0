package activities

import (
	"context"
	"strconv"
	"time"

	"go.temporal.io/sdk/activity"

	"stevedore/internal/ingest"
)

// UploadInput names the verified file.
type UploadInput struct {
	FileUUID string `json:"file_uuid"`
}

// Upload writes the staged file to the object store, exactly once, proves the
// object and then frees the staging room. The room is freed after the ledger's
// commit: until then the staged bytes are the only copy we can vouch for.
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

// freeStaging discards what this worker has staged of a stored file: by this mode
// of transfer, or by one that the file was begun in before. What cannot be
// discarded is garbage for the reconciler: the object is safe.
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

// objectMetadata is stored with the object, beside its hash.
func objectMetadata(file ingest.File) map[string]string {
	return map[string]string{
		"server": file.ServerName, "path": file.RemotePath,
		"mtime": file.ModTime.UTC().Format(time.RFC3339), "file-uuid": file.UUID,
		"size": strconv.FormatInt(file.Size, 10),
	}
}
