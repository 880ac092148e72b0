package activities

import (
	"context"
	"io"
	"time"

	"go.temporal.io/sdk/activity"

	"stevedore/internal/ingest"
)

// directMove is one attempt to move a file directly.
type directMove struct {
	*Activities
	server   ingest.Server
	file     ingest.File
	watchdog *watchdog
	source   Source
	remote   RemoteFile
	// openTime is the modification time of the open file at first, see openTime.
	openTime int64
	// sidecar is the result of reading the partner's checksum file.
	sidecar sidecarCheck
}

// directResult is the object of a direct transfer.
type directResult struct {
	object ingest.Object
	sha256 string
	proof
}

// moveDirectly copies the file with a stat before and after, as in a download, then
// compares the partner's checksum and completes the upload.
func (a *Activities) moveDirectly(ctx context.Context, server ingest.Server, file ingest.File, cp ingest.TransferCheckpoint) (result directResult, err error) {
	ctx, watchdog := a.startWatchdog(ctx, watchOptions{Total: file.Size, StallTimeout: a.stallTimeout(server)})
	defer func() { err = watchdog.stop(err) }()
	m := &directMove{Activities: a, server: server, file: file, watchdog: watchdog}
	defer m.close()
	if err = m.connect(ctx); err == nil {
		// The checksum file is read first: it names the algorithm, and the bytes are read only once.
		m.sidecar, err = a.checkSidecar(ctx, m.source, server, file)
		if err == nil && m.sidecar.sessionLost {
			err = m.connect(ctx)
		}
	}
	if err == nil {
		if m.openTime = openTime(m.remote, file); cp.UploadID != "" && !ingest.SameOpenTime(cp.Shown, m.openTime) {
			m.dropUpload(ctx, cp)
			cp = ingest.TransferCheckpoint{}
		}
	}
	switch {
	case err != nil:
	case cp.UploadID == "" && file.Size <= a.Direct.Copier.PartSizeOf(file.Size):
		result, err = m.storeSmall(ctx)
	default:
		result, err = m.storeParts(ctx, &cp)
	}
	switch ingest.KindOf(err) {
	case ingest.KindChanged, ingest.KindSameContent, ingest.KindHashMismatch, ingest.KindNotFound:
		m.dropUpload(ctx, cp)
	}
	return result, err
}

// connect opens the file in a new session after it has checked the version at the path.
func (m *directMove) connect(ctx context.Context) (err error) {
	m.close()
	if m.source, err = m.open(ctx, m.server); err != nil {
		return err
	}
	if err := checkVersion(ctx, m.source, m.file); err != nil {
		return err
	}
	m.remote, err = m.openFile(ctx, m.source, m.server, m.file)
	return err
}

func (m *directMove) close() {
	if m.remote != nil {
		_ = m.remote.Close()
	}
	if m.source != nil {
		_ = m.source.Close()
	}
	m.source, m.remote = nil, nil
}

// reconnect is connect during a transfer. If the file has another or no time it may be
// another file: the next attempt restarts the transfer.
func (m *directMove) reconnect(ctx context.Context) (io.ReaderAt, error) {
	if err := m.connect(ctx); err != nil {
		return nil, err
	}
	if !ingest.SameOpenTime(openTime(m.remote, m.file), m.openTime) {
		return nil, ingest.Errorf(ingest.KindTransient, "%s does not show the modification time that it had before the connection broke: the transfer restarts",
			ingest.DisplayPath(m.file.RemotePath))
	}
	return m.remote, nil
}

// request returns the common part of both kinds of requests.
func (m *directMove) request(ctx context.Context) ingest.DirectTransfer {
	return ingest.DirectTransfer{
		Key: ingest.ObjectKey(m.file), Size: m.file.Size, MinRate: m.server.MinRate, AnswerTimeout: time.Duration(m.server.AnswerTimeout), Source: m.remote, Reopen: m.reconnect,
		Progress: m.watchdog.report, Moved: m.watchdog.markAlive, Stop: activity.GetWorkerStopChannel(ctx),
	}
}

// storeSmall stores a file of at most one part by one request.
func (m *directMove) storeSmall(ctx context.Context) (directResult, error) {
	small, err := m.Direct.Copier.Read(ctx, m.request(ctx))
	if err != nil {
		return directResult{}, err
	}
	defer small.Release()
	origin, err := m.sidecar.compare(m.file, m.digestsOf(small.Body, small.SHA256))
	if err != nil {
		return directResult{}, err
	}
	if err := m.checkRead(ctx, small.SHA256); err != nil {
		return directResult{}, err
	}
	object, err := m.Objects.PutBytes(ctx, ingest.PutBytes{
		Key: ingest.ObjectKey(m.file), Body: small.Body, SHA256: small.SHA256, Metadata: objectMetadata(m.file), Moved: m.watchdog.markAlive,
	})
	return directResult{object: object, sha256: small.SHA256, proof: proof{origin, m.sidecar.seen}}, err
}

// storeParts stores the file by a multipart upload. It updates cp to the last checkpoint.
func (m *directMove) storeParts(ctx context.Context, cp *ingest.TransferCheckpoint) (directResult, error) {
	if err := m.resumeUpload(ctx, cp); err != nil {
		return directResult{}, err
	}
	req := m.request(ctx)
	req.UploadID, req.From = cp.UploadID, *cp
	save := m.checkpoints(ctx, m.file, cp.Offset, m.watchdog)
	req.Save = func(cp ingest.TransferCheckpoint) error {
		cp.Shown = m.openTime
		return save(cp)
	}
	req.Resumed = func(offset int64) error { return m.apply(ctx, m.file, ingest.Resumed(m.file, offset)) }
	if algo := m.sidecar.want.algo; algo != ingest.AlgoSHA256 {
		req.Also = algo
	}
	moved, err := m.Direct.Copier.Copy(ctx, req)
	if err != nil {
		return directResult{}, err
	}
	origin, err := m.sidecar.compare(m.file, func(algo string) (string, error) {
		if algo == ingest.AlgoSHA256 {
			return moved.SHA256, nil
		}
		return moved.Also, nil
	})
	if err != nil {
		return directResult{}, err
	}
	if err := m.checkRead(ctx, moved.SHA256); err != nil {
		return directResult{}, err
	}
	object, err := m.Direct.Objects.CompleteUpload(ctx, ingest.CompleteUpload{
		Key: req.Key, UploadID: req.UploadID, Parts: moved.Checkpoint.Parts, SHA256: moved.SHA256, Moved: m.watchdog.markAlive,
	})
	return directResult{object: object, sha256: moved.SHA256, proof: proof{origin, m.sidecar.seen}}, err
}

// checkRead checks that the bytes are of the version in the ledger and are new content.
func (m *directMove) checkRead(ctx context.Context, sha256 string) error {
	if err := m.recheckVersion(ctx, m.source, m.remote, m.file); err != nil {
		return err
	}
	return m.file.Accept(sha256)
}

// resumeUpload sets cp to the checkpoint to resume from: the last one if the store still
// has its parts, otherwise the start of a new upload. The ledger records an upload before
// any byte is sent to it.
func (m *directMove) resumeUpload(ctx context.Context, cp *ingest.TransferCheckpoint) error {
	key := ingest.ObjectKey(m.file)
	if cp.UploadID != "" {
		holds, err := m.Direct.Objects.UploadHolds(ctx, key, cp.UploadID, cp.Parts)
		if err != nil {
			return err
		}
		if holds {
			return m.uploadStarted(ctx, key)
		}
		m.dropUpload(ctx, *cp)
	}
	if m.file.Fence > 1 { // an earlier attempt may have crashed before it recorded its upload
		if err := m.Direct.Objects.AbortUploads(ctx, key); err != nil {
			return err
		}
	}
	id, err := m.Direct.Objects.BeginUpload(ctx, key, objectMetadata(m.file))
	if err != nil {
		return err
	}
	*cp = ingest.TransferCheckpoint{UploadID: id, PartSize: m.Direct.Copier.PartSizeOf(m.file.Size), Shown: m.openTime}
	if err := m.Direct.Transfers.SaveTransfer(ctx, m.file.UUID, m.file.Fence, *cp); err != nil {
		_ = m.Direct.Objects.AbortUpload(context.WithoutCancel(ctx), key, id)
		return err
	}
	return m.uploadStarted(ctx, key)
}

// uploadStarted records the key of the object, unless an earlier attempt did.
func (m *directMove) uploadStarted(ctx context.Context, key string) error {
	if m.file.ObjectKey != "" {
		return nil
	}
	return m.apply(ctx, m.file, ingest.DirectUploadStarted(m.file, m.Objects.Bucket(), key))
}

// dropUpload aborts an upload that will not be completed, so that nothing resumes from
// it. Only the holder of the fence may do so, because another attempt may be using it. A
// failure is left to reconciliation.
func (m *directMove) dropUpload(ctx context.Context, cp ingest.TransferCheckpoint) {
	if cp.UploadID == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	err := m.Direct.Transfers.SaveTransfer(ctx, m.file.UUID, m.file.Fence, ingest.TransferCheckpoint{UploadID: cp.UploadID, PartSize: cp.PartSize})
	if err == nil {
		err = m.Direct.Objects.AbortUpload(ctx, ingest.ObjectKey(m.file), cp.UploadID)
	}
	if err == nil {
		err = m.Direct.Transfers.ForgetTransfer(ctx, m.file.UUID)
	}
	if err != nil {
		m.Log.WarnContext(ctx, "cannot abort an upload", "file", m.file.UUID, "error", err)
	}
}
