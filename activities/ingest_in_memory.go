package activities

import (
	"context"
	"time"

	"stevedore/internal/ingest"
)

// IngestInMemoryInput names a small file and the slot it was started with.
type IngestInMemoryInput struct {
	FileUUID string `json:"file_uuid"`
	// ServerUUID is that of the file's server.
	ServerUUID string `json:"server_uuid"`
	Slot       int64  `json:"slot"`
	// Size in bytes is taken from the worker's memory budget.
	Size int64 `json:"size"`
}

// IngestInMemoryResult says how far the file has come: its object is stored.
type IngestInMemoryResult struct {
	// Notified says that the notification is confirmed and the file completed.
	Notified bool `json:"notified"`
	NotifyResult
}

// IngestInMemory does all steps of a small file in one go: it reads the file
// whole, compares it with the partner's checksum, stores it by one request and
// publishes its notification. Nothing is retried here: a failure is recorded, and
// the workflow takes the ordinary steps, whose attempts can be seen.
//
// Three commits record a file: it was started, its object is proven, its
// notification is confirmed. An attempt that dies in between is repeated from
// the start and finds the object, or only has to notify.
func (a *Activities) IngestInMemory(ctx context.Context, in IngestInMemoryInput) (result IngestInMemoryResult, err error) {
	release, err := a.Memory.Acquire(ctx, in.Size)
	if err != nil {
		return result, applicationError(ingest.Wrap(ingest.KindTransient, err, "no room in the worker's memory budget for %d bytes in time", in.Size))
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
		result.Notified = a.finishStep(ctx, ingest.StepNotify, file, err) == nil // which is recorded, and tried again as a step of its own
	}
	return result, nil
}

// startInMemory claims the file and records that its bytes are about to be read,
// unless an earlier attempt has stored them. A file that has bytes in staging is
// refused: they may be the only copy.
func (a *Activities) startInMemory(ctx context.Context, in IngestInMemoryInput) (file ingest.File, server ingest.Server, err error) {
	if server, err = a.Ledger.Server(ctx, in.ServerUUID); err != nil {
		return file, server, err
	}
	start := ingest.Started(ingest.File{UUID: in.FileUUID, ServerName: server.Name}, ingest.ModeMemory, in.Slot, "")
	start.From, start.Set.StagedOn = []ingest.Status{ingest.StatusReady, ingest.StatusDownloading}, nil
	if file, err = a.Ledger.Take(ctx, start); err != nil {
		return file, server, err
	}
	if file.StagedOn != "" {
		return file, server, ingest.Errorf(ingest.KindConflict, "bytes of the file are staged on %s", file.StagedOn)
	}
	switch file.Status {
	case ingest.StatusDownloading, ingest.StatusUploaded, ingest.StatusCompleted:
		return file, server, nil
	default:
		return file, server, ingest.Errorf(ingest.KindConflict, "file is %s: the memory mode cannot continue it", file.Status)
	}
}

// transferInMemory brings the bytes from the server into the object, unless an
// earlier attempt has and they are gone, and returns the file as the ledger then
// has it.
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

// proof is where the proof of a hash is from, and the checksum file that was read.
type proof struct {
	origin  string
	sidecar *ingest.Companion
}

// readInMemory returns the bytes of the version that the ledger knows, proven by
// stat, count, stat and by the partner's checksum, and where that came from.
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

// readWhole reads the file between two looks at it; the second one is here.
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
