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
	// shown is the time that the open file showed first, see shownTime.
	openTime int64
	// offered is what the partner's checksum file says.
	sidecar sidecarCheck
}

// directResult is an object that a direct transfer made.
type directResult struct {
	object ingest.Object
	sha256 string
	proof
}

// moveDirectly is stat, count, stat around the copy, as in a download, with the
// partner's checksum and the completion of the upload at its end.
func (a *Activities) moveDirectly(ctx context.Context, server ingest.Server, file ingest.File, cp ingest.TransferCheckpoint) (result directResult, err error) {
	ctx, watchdog := a.startWatchdog(ctx, watchOptions{Total: file.Size, StallTimeout: a.stallTimeout(server)})
	defer func() { err = watchdog.stop(err) }()
	m := &directMove{Activities: a, server: server, file: file, watchdog: watchdog}
	defer m.close()
	if err = m.connect(ctx); err == nil {
		// Read first: no byte can be read again for another algorithm.
		m.sidecar, err = a.checkSidecar(ctx, m.source, server, file)
		if err == nil && m.sidecar.sessionLost {
			err = m.connect(ctx)
		}
	}
	if err == nil {
		if m.openTime = openTime(m.remote, file); cp.UploadID != "" && cp.Shown != m.openTime {
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

// connect opens the file in a new session, once it is sure that the path still
// shows the version the ledger knows.
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

// reconnect is connect for a transfer under way. A file with another time may be another
// one: the next attempt begins it again.
func (m *directMove) reconnect(ctx context.Context) (io.ReaderAt, error) {
	if err := m.connect(ctx); err != nil {
		return nil, err
	}
	if shown := openTime(m.remote, m.file); shown != m.openTime {
		return nil, ingest.Errorf(ingest.KindTransient, "%s shows another time than before the connection broke: it is read again from the beginning",
			ingest.DisplayPath(m.file.RemotePath))
	}
	return m.remote, nil
}

// request is what both ways have in common.
func (m *directMove) request(ctx context.Context) ingest.DirectTransfer {
	return ingest.DirectTransfer{
		Key: ingest.ObjectKey(m.file), Size: m.file.Size, MinRate: m.server.MinRate, Silence: time.Duration(m.server.AnswerTimeout), Source: m.remote, Reopen: m.reconnect,
		Progress: m.watchdog.report, Moved: m.watchdog.markAlive, Stop: activity.GetWorkerStopChannel(ctx),
	}
}

// whole stores a file of at most one part by one request.
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

// parts moves the file through a multipart upload. cp becomes the checkpoint
// reached.
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

// proven checks that what was read is the version of the ledger, and a new one.
func (m *directMove) checkRead(ctx context.Context, sha256 string) error {
	if err := m.recheckVersion(ctx, m.source, m.remote, m.file); err != nil {
		return err
	}
	return m.file.Accept(sha256)
}

// resumeUpload makes cp the checkpoint to continue from: the last one if the
// store still has its parts, else the beginning of a new upload. The ledger knows
// an upload before a byte goes into it.
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
	if m.file.Fence > 1 { // an earlier attempt may have died before it recorded its upload
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

// uploadStarted records where the object goes, unless an earlier attempt has.
func (m *directMove) uploadStarted(ctx context.Context, key string) error {
	if m.file.ObjectKey != "" {
		return nil
	}
	return m.apply(ctx, m.file, ingest.DirectUploadStarted(m.file, m.Objects.Bucket(), key))
}

// forget ends an upload that will not be completed, so that its bytes take no
// room and nothing resumes from them. Only the holder of the fence may: another
// attempt may be using it. What fails is left for the reconciler.
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
		m.Log.WarnContext(ctx, "cannot end an upload", "file", m.file.UUID, "error", err)
	}
}
