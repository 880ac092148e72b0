package activities

import (
	"context"
	"time"

	"stevedore/internal/ingest"
)

// IngestInMemoryInput names a small file and its reserved slot.
type IngestInMemoryInput struct {
	FileUUID string `json:"file_uuid"`
	// ServerUUID is the uuid of the file's server.
	ServerUUID string `json:"server_uuid"`
	Slot       int64  `json:"slot"`
	// Size in bytes is acquired from the worker's memory budget.
	Size int64 `json:"size"`
}

// IngestInMemoryResult is returned once the object is stored.
type IngestInMemoryResult struct {
	// Notified: the notification is confirmed and the file completed.
	Notified bool `json:"notified"`
	NotifyResult
}

// IngestInMemory runs all steps of a small file: it reads the file into memory, compares
// it with the partner's checksum, stores it by one request and publishes its
// notification. It does not retry: it records a failure, and the workflow runs the
// regular steps, whose attempts are visible.
//
// Three commits record a file: started, object verified, notification confirmed. A
// repeated attempt finds the object, or only publishes.
func (a *Activities) IngestInMemory(ctx context.Context, in IngestInMemoryInput) (result IngestInMemoryResult, err error) {
	release, err := a.Memory.Acquire(ctx, in.Size)
	if err != nil {
		return result, applicationError(ingest.Wrap(ingest.KindTransient, err, "the worker's memory budget had no space for %d bytes in time", in.Size))
	}
	defer release()
	file, server, err := a.startInMemory(ctx, in)
	if err != nil {
		return result, applicationError(err)
	}
	if file.Status == ingest.StatusDownloading {
		if file, err = a.transferInMemory(ctx, server, file); err != nil {
			return result, a.finishStep(ctx, ingest.StepTransfer, file, err)
		}
		a.freeStaging(ctx, file)
	}
	result.Notified, result.SourceAction = true, server.AfterIngest != ingest.AfterKeep
	if file.Status != ingest.StatusCompleted {
		err := a.notify(ctx, file, result.SourceAction)
		result.Notified = a.finishStep(ctx, ingest.StepNotify, file, err) == nil // else the notify step retries
	}
	return result, nil
}

// startInMemory claims the file and records the start of the transfer, unless an earlier
// attempt has stored the object. It rejects a file with staged bytes: they may be the
// only copy.
func (a *Activities) startInMemory(ctx context.Context, in IngestInMemoryInput) (file ingest.File, server ingest.Server, err error) {
	if server, err = a.Ledger.Server(ctx, in.ServerUUID); err != nil {
		return file, server, err
	}
	start := ingest.Started(ingest.File{UUID: in.FileUUID, ServerName: server.Name}, ingest.ModeMemory, in.Slot, "")
	start.From, start.Set.StagedOn = []ingest.Status{ingest.StatusReady, ingest.StatusDownloading}, nil
	if file, err = a.Ledger.ClaimAndApply(ctx, start); err != nil {
		return file, server, err
	}
	if file.StagedOn != "" {
		return file, server, ingest.Errorf(ingest.KindConflict, "bytes of the file are staged on %s", file.StagedOn)
	}
	switch file.Status {
	case ingest.StatusDownloading, ingest.StatusUploaded, ingest.StatusCompleted:
		return file, server, nil
	default:
		return file, server, ingest.Errorf(ingest.KindConflict, "the file is %s: the memory mode cannot continue it", file.Status)
	}
}

// transferInMemory stores the file's object, unless an earlier attempt did and the
// source is gone. It returns the file as recorded in the ledger.
func (a *Activities) transferInMemory(ctx context.Context, server ingest.Server, file ingest.File) (ingest.File, error) {
	began := time.Now()
	content, digest, proof, err := a.readInMemory(ctx, server, file)
	if err != nil {
		if _, err := a.adoptUnrecorded(ctx, file, err); err != nil {
			return file, err
		}
		return a.Ledger.File(ctx, file.UUID)
	}
	fetched := ingest.Fetched{Mode: ingest.ModeMemory, Size: file.Size, SHA256: digest, Took: time.Since(began)}
	object, err := a.Objects.PutBytes(ctx, ingest.PutBytes{
		Key: ingest.ObjectKey(file), Body: content, SHA256: digest, Metadata: objectMetadata(file),
	})
	if err != nil {
		return file, err
	}
	change := ingest.Transferred(file, fetched, proof.origin, object)
	change.Set.Sidecar = proof.sidecar
	if err := a.apply(ctx, file, change); err != nil {
		return file, err
	}
	file.Status, file.Hash, file.HashAlgo = change.To, digest, *change.Set.HashAlgo
	file.Bucket, file.ObjectKey, file.ETag, file.Checksum = object.Bucket, object.Key, object.ETag, object.Checksum
	return file, nil
}

// proof is the origin of a verified hash, and the checksum file that was read.
type proof struct {
	origin  string
	sidecar *ingest.Companion
}

// readInMemory returns the file's bytes. It verifies them by a stat before and after,
// their number, and the partner's checksum.
func (a *Activities) readInMemory(ctx context.Context, server ingest.Server, file ingest.File) (content []byte, digest string, of proof, err error) {
	source, err := a.open(ctx, server)
	if err != nil {
		return nil, "", of, err
	}
	defer func() { _ = source.Close() }()
	if err := checkVersion(ctx, source, file); err != nil {
		return nil, "", of, err
	}
	if content, digest, err = a.readWhole(ctx, source, server, file); err != nil {
		return nil, "", of, err
	}
	if err := file.Accept(digest); err != nil {
		return nil, "", of, err
	}
	found, err := a.checkSidecar(ctx, source, server, file)
	if err != nil {
		return nil, "", of, err
	}
	origin, err := found.compare(file, a.digestsOf(content, digest))
	return content, digest, proof{origin, found.seen}, err
}

// readWhole reads the file and checks its version afterwards.
func (a *Activities) readWhole(ctx context.Context, source Source, server ingest.Server, file ingest.File) ([]byte, string, error) {
	remote, err := a.openFile(ctx, source, server, file)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = remote.Close() }()
	content, digest, err := a.Memory.ReadWhole(ctx, remote, file.Size, server.MinRate, time.Duration(server.AnswerTimeout))
	if err != nil {
		return nil, "", err
	}
	return content, digest, a.recheckVersion(ctx, source, remote, file)
}
