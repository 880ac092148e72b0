package activities

import (
	"cmp"
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
// and could not record: it died, or its commit failed. The bytes are not needed a
// second time, and their source may be gone by now. Where no attempt can have made
// an object the store is not asked: it may be down, and downloads do not need it.
func (a *Activities) alreadyStored(ctx context.Context, file ingest.File) (bool, error) {
	if stored(file) || !mayBeStored(file) {
		return stored(file), nil
	}
	bucket, key := cmp.Or(file.Bucket, a.Objects.Bucket()), cmp.Or(file.ObjectKey, ingest.ObjectKey(file))
	object, found, err := a.Objects.Head(ctx, bucket, key)
	if err != nil || !found || object.Size != file.Size {
		return false, err
	}
	switch {
	case file.Hash != "":
		return a.adoptKnown(ctx, file, object)
	case object.SHA256 == "":
		return a.adoptParts(ctx, file)
	default:
		return a.adoptWhole(ctx, file, object)
	}
}

// mayBeStored reports whether an attempt before may have made the object. Staged
// files have hash and key in the ledger before that, others have neither.
func mayBeStored(file ingest.File) bool {
	if file.Hash != "" {
		return file.ObjectKey != ""
	}
	return file.Fence > 1 && (file.Mode == ingest.ModeMemory || file.Mode == ingest.ModeDirect)
}

// adoptKnown records the object of a file whose hash is in the ledger.
func (a *Activities) adoptKnown(ctx context.Context, file ingest.File, object ingest.Object) (bool, error) {
	if !proven(file, object) {
		return false, nil
	}
	if file.Status != ingest.StatusUploading {
		if err := a.reading(ctx, file); err != nil {
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

// adoptWhole records the object of a file that was read into memory and stored by
// one request, which is made only after all checks have passed. The ledger has
// nothing of it, so the object is read, a few megabytes, and compared with the
// hash in its metadata.
func (a *Activities) adoptWhole(ctx context.Context, file ingest.File, object ingest.Object) (bool, error) {
	read, found, err := a.Objects.Digest(ctx, object.Bucket, object.Key)
	if err != nil || !found || read.Size != file.Size || read.SHA256 != object.SHA256 {
		return false, err
	}
	return a.adopt(ctx, file, object, object.SHA256)
}

// adoptParts records the object of a direct transfer in parts: its last
// checkpoint, saved before the upload was completed, has the hash and the parts.
func (a *Activities) adoptParts(ctx context.Context, file ingest.File) (bool, error) {
	cp, found, err := a.Direct.Transfers.Transfer(ctx, file.UUID)
	if err != nil || !found || cp.Offset != file.Size {
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
	return a.adopt(ctx, file, *object, digest)
}

func (a *Activities) completedObject(ctx context.Context, file ingest.File, cp ingest.TransferCheckpoint, digest string) (found *ingest.Object, err error) {
	ctx, motion := a.watchAs(ctx, watched{Total: file.Size, Yields: true})
	defer func() { err = motion.stop(err) }()
	object, ok, err := a.Direct.Objects.Completed(ctx, ingest.CompleteUpload{
		Key: ingest.ObjectKey(file), UploadID: cp.UploadID, Parts: cp.Parts, SHA256: digest, Moved: motion.moved,
	})
	if err != nil || !ok {
		return nil, err
	}
	return &object, nil
}

// adopt records an object of whose transfer the ledger has nothing.
func (a *Activities) adopt(ctx context.Context, file ingest.File, object ingest.Object, digest string) (bool, error) {
	if err := a.reading(ctx, file); err != nil {
		return false, err
	}
	a.Log.InfoContext(ctx, "found the object of an earlier attempt", "file", file.UUID, "key", object.Key)
	fetched := ingest.Fetched{Mode: file.Mode, Size: file.Size, SHA256: digest}
	return true, a.transferred(ctx, file, fetched, originTransfer, object)
}

// reading sets the status from which an object can be recorded.
func (a *Activities) reading(ctx context.Context, file ingest.File) error {
	if file.Status == ingest.StatusDownloading {
		return nil
	}
	return a.apply(ctx, file, ingest.Change{FileUUID: file.UUID, Fence: file.Fence, To: ingest.StatusDownloading})
}
