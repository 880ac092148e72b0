package activities

import (
	"context"

	"stevedore/internal/ingest"
)

// stored reports whether the object is safe, so that the steps before have
// nothing left to do: a workflow that was reset or started again for such a
// file runs straight through to Notify.
func stored(file ingest.File) bool {
	return file.Status == ingest.StatusUploaded || file.Status == ingest.StatusCompleted
}

// alreadyStored is stored, and recognizes an object that an earlier attempt made
// of bytes that the ledger knows, and could not record: it died, or its commit
// failed. The bytes are not needed a second time, and their source may be gone by
// now. Where the ledger knows no bytes the store is not asked: it may be down, and
// downloads do not need it.
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

// adoptKnown records the object of a file whose hash is in the ledger.
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

// proven reports whether the object has the content that the ledger knows: by the
// hash in its metadata or, after a direct transfer, by the checksum of its parts.
func proven(file ingest.File, object ingest.Object) bool {
	if object.SHA256 != "" {
		return object.SHA256 == file.Hash
	}
	return file.Checksum != "" && object.Checksum == file.Checksum
}

// adoptLeft answers cause, with which reading the source has ended. Where the file
// is gone or replaced, an earlier attempt may have stored it by one request, which
// is made only after all checks have passed, and have died before the ledger knew.
// As long as the source shows the file it is read again instead: then the write
// says whether the object holds the same.
//
// The ledger has nothing of the object, so it is read, at most one part, and
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

// leftObject returns the object of the file if its bytes are those of which its
// metadata tells.
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

// adoptParts records the object of a direct transfer in parts: its last
// checkpoint, saved before the upload was completed, has the hash and the parts.
func (a *Activities) adoptParts(ctx context.Context, file ingest.File) (bool, error) {
	cp, found, err := a.Direct.Transfers.Transfer(ctx, file.UUID)
	if err != nil || !found || cp.UploadID == "" || cp.Offset != file.Size {
		return false, err
	}
	digest, ok := a.Direct.Copier.Digest(cp)
	if !ok {
		return false, nil // the transfer starts over
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

// adopt records an object of whose transfer the ledger has nothing.
func (a *Activities) adopt(ctx context.Context, file ingest.File, object ingest.Object, digest string) error {
	if err := a.ensureDownloading(ctx, file); err != nil {
		return err
	}
	a.Log.InfoContext(ctx, "found the object of an earlier attempt", "file", file.UUID, "key", object.Key)
	fetched := ingest.Fetched{Mode: file.Mode, Size: file.Size, SHA256: digest}
	return a.transferred(ctx, file, fetched, proof{origin: originTransfer}, object)
}

// reading sets the status from which an object can be recorded.
func (a *Activities) ensureDownloading(ctx context.Context, file ingest.File) error {
	if file.Status == ingest.StatusDownloading {
		return nil
	}
	return a.apply(ctx, file, ingest.Change{FileUUID: file.UUID, Fence: file.Fence, To: ingest.StatusDownloading})
}
