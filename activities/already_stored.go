package activities

import (
	"context"

	"stevedore/internal/ingest"
)

// stored reports whether the object is stored, so that the transfer steps have nothing
// left to do: a reset or restarted workflow continues with Notify.
func stored(file ingest.File) bool {
	return file.Status == ingest.StatusUploaded || file.Status == ingest.StatusCompleted
}

// alreadyStored is like stored, and also recognizes an object that an earlier attempt stored
// but could not record. The bytes need not be read again, and their source may be gone.
// Without recorded bytes it does not query the object store, which may be unavailable
// and is not needed for downloads.
func (a *Activities) alreadyStored(ctx context.Context, file ingest.File) (bool, error) {
	switch {
	case stored(file):
		return true, nil
	case file.Hash != "" && file.ObjectKey != "":
		return a.adoptKnown(ctx, file)
	case file.Mode == ingest.ModeDirect && file.Fence > 1:
		return a.adoptParts(ctx, file)
	}
	return false, nil
}

// adoptKnown records the existing object of a file whose hash is in the ledger.
func (a *Activities) adoptKnown(ctx context.Context, file ingest.File) (bool, error) {
	object, found, err := a.Objects.Head(ctx, file.Bucket, file.ObjectKey)
	if err != nil || !found || object.Size != file.Size || !proven(file, object) {
		return false, err
	}
	if file.Status != ingest.StatusUploading {
		if err := a.ensureDownloading(ctx, file); err != nil {
			return false, err
		}
	}
	return true, a.apply(ctx, file, ingest.Uploaded(file, object))
}

// proven reports whether the object has the content recorded in the ledger: by the hash
// in its metadata or, after a direct transfer, by the checksum of its parts.
func proven(file ingest.File, object ingest.Object) bool {
	if object.SHA256 != "" {
		return object.SHA256 == file.Hash
	}
	return file.Checksum != "" && object.Checksum == file.Checksum
}

// adoptUnrecorded handles cause, the error that ended the reading of the source. If the
// file is gone or replaced, an earlier attempt may have stored it by one request and
// crashed before it could record that; it stores only after all checks have passed. While
// the source still exists the file is read again instead, and the write compares it with
// the object.
//
// The ledger has no hash of the object, so the object, at most one part, is read and
// compared with the hash in its metadata.
func (a *Activities) adoptUnrecorded(ctx context.Context, file ingest.File, cause error) (digest string, err error) {
	kind := ingest.KindOf(cause)
	gone := kind == ingest.KindNotFound || kind == ingest.KindChanged
	if !gone || file.Hash != "" || file.Fence < 2 || file.Size > a.Direct.Copier.PartSizeOf(file.Size) {
		return "", cause
	}
	object, found, err := a.unrecordedObject(ctx, file)
	if err != nil {
		return "", err
	}
	if !found {
		return "", cause
	}
	return object.SHA256, a.adopt(ctx, file, object, object.SHA256)
}

// unrecordedObject returns the object of the file if its bytes match the hash in its
// metadata.
func (a *Activities) unrecordedObject(ctx context.Context, file ingest.File) (object ingest.Object, found bool, err error) {
	ctx, watchdog := a.startWatchdog(ctx, watchOptions{Total: file.Size, StopsOnDrain: true})
	defer func() { err = watchdog.stop(err) }()
	object, found, err = a.Objects.Head(ctx, a.Objects.Bucket(), ingest.ObjectKey(file))
	if err != nil || !found || object.SHA256 == "" {
		return object, false, err
	}
	read, found, err := a.Objects.Digest(ctx, object.Bucket, object.Key)
	return object, found && read.Size == file.Size && read.SHA256 == object.SHA256, err
}

// adoptParts records the object of a direct transfer in parts. The last checkpoint,
// saved before the upload was completed, has the hash and the parts.
func (a *Activities) adoptParts(ctx context.Context, file ingest.File) (bool, error) {
	cp, found, err := a.Direct.Transfers.Transfer(ctx, file.UUID)
	if err != nil || !found || cp.UploadID == "" || cp.Offset != file.Size {
		return false, err
	}
	digest, ok := a.Direct.Copier.Digest(cp)
	if !ok {
		return false, nil // not resumable: the transfer restarts
	}
	object, err := a.completedObject(ctx, file, cp, digest)
	if err != nil || object == nil {
		return false, err
	}
	return true, a.adopt(ctx, file, *object, digest)
}

func (a *Activities) completedObject(ctx context.Context, file ingest.File, cp ingest.TransferCheckpoint, digest string) (found *ingest.Object, err error) {
	ctx, watchdog := a.startWatchdog(ctx, watchOptions{Total: file.Size, StopsOnDrain: true})
	defer func() { err = watchdog.stop(err) }()
	object, ok, err := a.Direct.Objects.Completed(ctx, ingest.CompleteUpload{
		Key: ingest.ObjectKey(file), UploadID: cp.UploadID, Parts: cp.Parts, SHA256: digest, Moved: watchdog.markAlive,
	})
	if err != nil || !ok {
		return nil, err
	}
	return &object, nil
}

// adopt records an object whose transfer is not in the ledger.
func (a *Activities) adopt(ctx context.Context, file ingest.File, object ingest.Object, digest string) error {
	if err := a.ensureDownloading(ctx, file); err != nil {
		return err
	}
	a.Log.InfoContext(ctx, "adopted the object of an earlier attempt", "file", file.UUID, "key", object.Key)
	fetched := ingest.Fetched{Mode: file.Mode, Size: file.Size, SHA256: digest}
	return a.transferred(ctx, file, fetched, proof{origin: originTransfer}, object)
}

// ensureDownloading sets the status from which an object can be recorded.
func (a *Activities) ensureDownloading(ctx context.Context, file ingest.File) error {
	if file.Status == ingest.StatusDownloading {
		return nil
	}
	return a.apply(ctx, file, ingest.Change{FileUUID: file.UUID, Fence: file.Fence, To: ingest.StatusDownloading})
}
