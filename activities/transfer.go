package activities

import (
	"context"
	"time"

	"stevedore/internal/ingest"
)

// DirectDeps are the additional dependencies of direct transfers.
type DirectDeps struct {
	Transfers Transfers
	Objects   DirectObjects
	Copier    DirectCopier
}

// Transfers records the checkpoints of direct transfers. See package store.
type Transfers interface {
	// SaveTransfer records a checkpoint, or returns KindFenced when a newer claim exists.
	SaveTransfer(ctx context.Context, fileUUID string, fence int64, cp ingest.TransferCheckpoint) error
	// Transfer returns the file's last checkpoint; found is false if there is none.
	Transfer(ctx context.Context, fileUUID string) (cp ingest.TransferCheckpoint, found bool, err error)
	// ForgetTransfer removes the checkpoint; a missing one is no error.
	ForgetTransfer(ctx context.Context, fileUUID string) error
}

// DirectObjects is the object store for direct transfers. See package objstore.
type DirectObjects interface {
	// BeginUpload starts a multipart upload and returns its id.
	BeginUpload(ctx context.Context, key string, metadata map[string]string) (uploadID string, err error)
	// UploadHolds reports whether the upload is open and has the parts.
	UploadHolds(ctx context.Context, key, uploadID string, parts []ingest.Part) (bool, error)
	// CompleteUpload creates the object from the parts exactly once and verifies it.
	// Completed returns the object if that was done before.
	CompleteUpload(ctx context.Context, req ingest.CompleteUpload) (ingest.Object, error)
	Completed(ctx context.Context, req ingest.CompleteUpload) (object ingest.Object, found bool, err error)
	// AbortUpload aborts an upload; a missing one is no error. AbortUploads aborts all
	// uploads of the key.
	AbortUpload(ctx context.Context, key, uploadID string) error
	AbortUploads(ctx context.Context, key string) error
}

// DirectCopier copies bytes. See package transfer.
type DirectCopier interface {
	// PartSizeOf returns the part size for a file of size bytes.
	PartSizeOf(size int64) int64
	// Copy reads the source into parts; Read reads a file of one part into memory.
	Copy(ctx context.Context, req ingest.DirectTransfer) (ingest.DirectResult, error)
	Read(ctx context.Context, req ingest.DirectTransfer) (ingest.SmallFile, error)
	// Digest returns the SHA-256 of the bytes up to a checkpoint; ok reports whether it
	// can be resumed from.
	Digest(cp ingest.TransferCheckpoint) (sha256 string, ok bool)
}

// TransferInput names the file to transfer directly.
type TransferInput struct {
	FileUUID string `json:"file_uuid"`
	// Slot is the reserved slot with which the file may be read.
	Slot int64 `json:"slot"`
}

// Transfer copies the remote file directly into the parts of a multipart upload. It
// resumes from the last checkpoint in the ledger, on any worker. Nothing is visible in
// the bucket before size, hash, partner's checksum and a final stat of the source agree;
// otherwise the upload is aborted. A file of at most one part is read into memory and
// stored by one request.
func (a *Activities) Transfer(ctx context.Context, in TransferInput) error {
	leave, err := a.acquireTransfer(ctx, in.FileUUID)
	if err != nil {
		return err
	}
	defer leave()
	file, server, err := a.startTransfer(ctx, in)
	if err != nil {
		return applicationError(err)
	}
	return a.finishStep(ctx, ingest.StepTransfer, file, a.transfer(ctx, server, file))
}

// startTransfer claims the file and records the start of the transfer, unless its object
// is stored.
func (a *Activities) startTransfer(ctx context.Context, in TransferInput) (file ingest.File, server ingest.Server, err error) {
	if file, err = a.Ledger.File(ctx, in.FileUUID); err != nil {
		return file, server, err
	}
	if server, err = a.Ledger.Server(ctx, file.ServerUUID); err != nil {
		return file, server, err
	}
	start := ingest.Started(file, ingest.ModeDirect, in.Slot, "")
	start.From = []ingest.Status{ingest.StatusReady, ingest.StatusDownloading}
	file, err = a.Ledger.ClaimAndApply(ctx, start)
	return file, server, err
}

func (a *Activities) transfer(ctx context.Context, server ingest.Server, file ingest.File) error {
	if done, err := a.alreadyStored(ctx, file); done || err != nil {
		return err
	}
	if file.Status != ingest.StatusDownloading {
		return ingest.Errorf(ingest.KindConflict, "the file is %s: a direct transfer cannot continue it", file.Status)
	}
	began := time.Now()
	cp, _, err := a.Direct.Transfers.Transfer(ctx, file.UUID)
	if err != nil {
		return err
	}
	moved, err := a.moveDirectly(ctx, server, file, cp)
	if err != nil {
		_, err := a.adoptUnrecorded(ctx, file, sourceGone(server, file, err))
		return err
	}
	fetched := ingest.Fetched{Mode: ingest.ModeDirect, Size: file.Size, SHA256: moved.sha256, Took: time.Since(began)}
	return a.transferred(ctx, file, fetched, moved.proof, moved.object)
}

// transferred records the object and removes the checkpoint. A checkpoint that is left
// by a crash is removed when the file is completed.
func (a *Activities) transferred(ctx context.Context, file ingest.File, fetched ingest.Fetched, of proof, object ingest.Object) error {
	change := ingest.Transferred(file, fetched, of.origin, object)
	change.Set.Sidecar = of.sidecar
	if err := a.apply(ctx, file, change); err != nil {
		return err
	}
	if err := a.Direct.Transfers.ForgetTransfer(ctx, file.UUID); err != nil {
		a.Log.WarnContext(ctx, "cannot remove a checkpoint", "file", file.UUID, "error", err)
	}
	a.freeStaging(ctx, file)
	return nil
}

// saveTimeout bounds the last write of an attempt whose context has ended.
const saveTimeout = 10 * time.Second

// checkpoints returns a function that saves the checkpoints of a transfer, also after the
// attempt was cancelled.
func (a *Activities) checkpoints(ctx context.Context, file ingest.File, from int64, watchdog *watchdog) func(ingest.TransferCheckpoint) error {
	return func(cp ingest.TransferCheckpoint) error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
		defer cancel()
		err := a.Direct.Transfers.SaveTransfer(ctx, file.UUID, file.Fence, cp)
		if err == nil && cp.Offset > from {
			watchdog.markProgress()
		}
		return err
	}
}
