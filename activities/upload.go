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
	return a.settle(ctx, ingest.StepUpload, file, err)
}

func (a *Activities) upload(ctx context.Context, file ingest.File) error {
	if !stored(file) {
		if err := a.storeObject(ctx, file); err != nil {
			return err
		}
	}
	if err := a.Staging.Discard(file.UUID); err != nil {
		// The object is safe; what stays here is garbage for the reconciler.
		a.Log.WarnContext(ctx, "cannot free staging", "file", file.UUID, "error", err)
	}
	return nil
}

func (a *Activities) storeObject(ctx context.Context, file ingest.File) error {
	staged, err := a.Staging.Staged(ctx, file.UUID)
	if err != nil {
		return err
	}
	bucket, key := a.Objects.Bucket(), ingest.ObjectKey(file)
	err = a.Ledger.Apply(ctx, ingest.Change{
		FileUUID: file.UUID, Fence: file.Fence, To: ingest.StatusUploading,
		Events: []ingest.Event{{
			Type: ingest.EventUploadStart, Details: map[string]any{"target_bucket": bucket, "target_key": key},
		}},
		Set: ingest.Columns{Bucket: &bucket, ObjectKey: &key},
	})
	if err != nil {
		return err
	}
	object, err := a.put(ctx, file, staged, key)
	if err != nil {
		return err
	}
	return a.Ledger.Apply(ctx, uploadedChange(file, object))
}

func uploadedChange(file ingest.File, object ingest.Object) ingest.Change {
	return ingest.Change{
		FileUUID: file.UUID, Fence: file.Fence, To: ingest.StatusUploaded,
		Events: []ingest.Event{{
			Type: ingest.EventUploaded, Key: object.Key,
			Details: map[string]any{"bucket": object.Bucket, "key": object.Key, "etag": object.ETag},
		}},
		Set: ingest.Columns{ETag: &object.ETag, Error: &ingest.Failure{}},
	}
}

func (a *Activities) put(ctx context.Context, file ingest.File, staged ingest.Staged, key string) (_ ingest.Object, err error) {
	ctx, motion := a.watchAs(ctx, watched{Total: file.Size})
	defer func() { err = motion.stop(err) }()
	return a.Objects.Put(ctx, ingest.Put{
		Key: key, Path: staged.Path, Size: file.Size, SHA256: file.Hash,
		Metadata: map[string]string{
			"server": file.ServerName, "path": file.RemotePath,
			"mtime": file.ModTime.UTC().Format(time.RFC3339), "file-uuid": file.UUID,
			"size": strconv.FormatInt(file.Size, 10),
		},
		Stop: activity.GetWorkerStopChannel(ctx), Progress: motion.report, Moved: motion.moved, Stored: motion.keep,
	})
}
