package activities

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/sdk/activity"

	"stevedore/internal/ingest"
)

// DownloadInput names the file to copy into staging.
type DownloadInput struct {
	FileUUID string `json:"file_uuid"`
	// Slot is the reserved slot with which the file may be read.
	Slot int64 `json:"slot"`
}

// DownloadResult describes the staged bytes.
type DownloadResult struct {
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Download copies the remote file into this host's staging, resuming from the last
// checkpoint. Size and modification time before and after, and the number of bytes,
// must match the version in the ledger; otherwise it returns KindChanged, and the newer
// version is discovered as another file.
func (a *Activities) Download(ctx context.Context, in DownloadInput) (DownloadResult, error) {
	leave, err := a.acquireTransfer(ctx, in.FileUUID)
	if err != nil {
		return DownloadResult{}, err
	}
	defer leave()
	file, err := a.Ledger.Claim(ctx, in.FileUUID)
	if err != nil {
		return DownloadResult{}, applicationError(err)
	}
	staged, err := a.download(ctx, file, in.Slot)
	if err != nil {
		return DownloadResult{}, a.finishStep(ctx, ingest.StepDownload, file, err)
	}
	return DownloadResult{Size: staged.Size, SHA256: staged.SHA256}, nil
}

func (a *Activities) download(ctx context.Context, file ingest.File, slot int64) (ingest.Staged, error) {
	stored, err := a.alreadyStored(ctx, file)
	if err != nil || stored {
		return ingest.Staged{Size: file.Size, SHA256: file.Hash}, err
	}
	if staged, ok := a.alreadyStaged(ctx, file); ok {
		return staged, nil
	}
	server, err := a.Ledger.Server(ctx, file.ServerUUID)
	if err != nil {
		return ingest.Staged{}, err
	}
	host := a.Staging.HostID()
	if file.StagedOn != "" && (file.Hash != "" || server.ReadOnce) {
		// That host may have the only copy: keep it recorded until all bytes are here.
		host = file.StagedOn
	}
	if err := a.apply(ctx, file, ingest.Started(file, ingest.ModeStaged, slot, host)); err != nil {
		return ingest.Staged{}, err
	}
	began := time.Now()
	staged, err := a.stage(ctx, server, file)
	if err != nil {
		digest, err := a.adoptUnrecorded(ctx, file, sourceGone(server, file, err))
		return ingest.Staged{Size: file.Size, SHA256: digest}, err
	}
	if err := file.Accept(staged.SHA256); err != nil {
		// Otherwise the next attempt would accept the staged bytes.
		return ingest.Staged{}, errors.Join(err, a.Staging.Discard(file.UUID))
	}
	fetched := ingest.Fetched{Mode: ingest.ModeStaged, Path: staged.Path, Size: staged.Size, SHA256: staged.SHA256, Took: time.Since(began)}
	return staged, a.apply(ctx, file, ingest.Downloaded(file, fetched, a.Staging.HostID()))
}

// alreadyStaged recognizes an earlier attempt that was committed but whose result was
// lost.
func (a *Activities) alreadyStaged(ctx context.Context, file ingest.File) (ingest.Staged, bool) {
	if file.Status != ingest.StatusDownloaded {
		return ingest.Staged{}, false
	}
	staged, err := a.Staging.Staged(ctx, file.UUID)
	return staged, err == nil && staged.SHA256 == file.Hash && staged.Size == file.Size
}

// stage copies the bytes into staging. It does not read completely staged bytes again
// from the server, which may no longer have the file. Staged bytes are verified later.
func (a *Activities) stage(ctx context.Context, server ingest.Server, file ingest.File) (ingest.Staged, error) {
	if server.ReadOnce || file.Hash != "" {
		staged, err := a.Staging.Staged(ctx, file.UUID)
		if err == nil && staged.Size == file.Size && (server.ReadOnce || staged.SHA256 == file.Hash) {
			return staged, nil
		}
	}
	return a.fetchVersion(ctx, server, file)
}

// sourceGone turns a missing or replaced source into KindSourceGone if bytes of the file
// were or may have been read: it needs attention. A file that was never read ends as
// vanished or superseded.
func sourceGone(server ingest.Server, file ingest.File, err error) error {
	kind := ingest.KindOf(err)
	if kind != ingest.KindNotFound && kind != ingest.KindChanged {
		return err
	}
	opened := server.ReadOnce && file.StagedOn != "" // an earlier attempt may have read the only copy
	if file.Hash == "" && !opened {
		return err
	}
	return ingest.Wrap(ingest.KindSourceGone, err, "%s was removed or replaced on the server after it was read, and its bytes are not on this worker; "+
		"restore the worker with staging volume %s and retry, or ask the partner to send the file again",
		ingest.DisplayPath(file.RemotePath), file.StagedOn)
}

// fetchVersion copies the file, with a stat before and after and a count of the bytes.
func (a *Activities) fetchVersion(ctx context.Context, server ingest.Server, file ingest.File) (_ ingest.Staged, err error) {
	if err := a.Staging.Reserve(ctx, file.UUID, file.Size); err != nil {
		return ingest.Staged{}, err
	}
	ctx, watchdog := a.startWatchdog(ctx, watchOptions{Total: file.Size, Resumable: true, StallTimeout: a.stallTimeout(server)})
	defer func() { err = watchdog.stop(err) }()

	source, err := a.open(ctx, server)
	if err != nil {
		return ingest.Staged{}, err
	}
	defer func() { _ = source.Close() }()
	if err := checkVersion(ctx, source, file); err != nil {
		return ingest.Staged{}, err
	}
	remote, err := a.openFile(ctx, source, server, file)
	if err != nil {
		return ingest.Staged{}, err
	}
	defer func() { _ = remote.Close() }()
	staged, err := a.Staging.Fetch(ctx, ingest.Fetch{
		FileUUID: file.UUID, Size: file.Size, ModTime: file.ModTime.Unix(), Shown: openTime(remote, file), Origin: originOf(file),
		MinRate: server.MinRate, AnswerTimeout: time.Duration(server.AnswerTimeout),
		Resumed: func(offset int64) error { return a.apply(ctx, file, ingest.Resumed(file, offset)) },
		Source:  remote, Progress: watchdog.report, Stop: activity.GetWorkerStopChannel(ctx),
	})
	if server.ReadOnce && ingest.IsKind(err, ingest.KindChanged) {
		// A superseded version is found again by a listing. This one may not be.
		return ingest.Staged{}, ingest.Wrap(ingest.KindSourceGone, err, "%s: %s; the server provides each file once and may have removed it: "+
			"retry if it is still there, otherwise ask the partner to send it again", ingest.DisplayPath(file.RemotePath), ingest.Message(err))
	}
	if err != nil {
		return ingest.Staged{}, err
	}
	if server.ReadOnce {
		return staged, nil // the server may have removed the file, as it should
	}
	return staged, a.recheckVersion(ctx, source, remote, file)
}

// recheckVersion is checkVersion after the bytes were read, while the file is open. If
// the server's identity rule ignores times, it records a time that reading has changed.
// The open file must show that time, too: otherwise the path shows another file, which
// was not read.
func (a *Activities) recheckVersion(ctx context.Context, source Source, remote RemoteFile, file ingest.File) error {
	var open ingest.Observation
	var ok bool
	if file.Timeless() {
		var err error
		if open, ok, err = remote.Restat(ctx); err != nil {
			return afterOpen(err)
		}
	}
	now, err := source.Stat(ctx, file.RemotePath)
	if err != nil {
		return afterOpen(err)
	}
	if err := compareVersion(now, file); err != nil {
		return err
	}
	if now.ModTime.Unix() != file.ModTime.Unix() && ok && now.ModTime.Unix() == open.ModTime.Unix() {
		return a.apply(ctx, file, ingest.TimeShifted(file, now.ModTime))
	}
	return nil
}

// openFile opens the file for a transfer.
func (a *Activities) openFile(ctx context.Context, source Source, server ingest.Server, file ingest.File) (RemoteFile, error) {
	remote, err := openVersion(ctx, source, file)
	if err != nil {
		return nil, err
	}
	return a.bounded(ctx, server, remote, file.Size), nil
}

// checkVersion returns KindChanged unless the path shows the version in the ledger.
func checkVersion(ctx context.Context, source Source, file ingest.File) error {
	now, err := source.Stat(ctx, file.RemotePath)
	if err != nil {
		return err
	}
	return compareVersion(now, file)
}

// clockTolerance is the tolerance for a file whose time is always the current time.
const clockTolerance = 5 * time.Second

// checkUnmodified is checkVersion before a file is deleted or moved. Where the identity
// rule ignores times, it also requires a time that the file had when it was read, or
// the current time: otherwise the file may have been replaced since.
func checkUnmodified(ctx context.Context, source Source, file ingest.File) (now ingest.Observation, err error) {
	now, err = source.Stat(ctx, file.RemotePath)
	if err != nil {
		return now, err
	}
	read := now.ModTime.Unix() == file.ShownTime.Unix() && !file.ShownTime.IsZero()
	if file.Timeless() && (read || time.Since(now.ModTime).Abs() < clockTolerance) {
		return now, compareVersion(now, file)
	}
	file.Identity = ingest.IdentitySizeTime
	return now, compareVersion(now, file)
}

// compareVersion returns KindChanged unless the observation is the version in the
// ledger. Where the identity rule ignores times, only the size counts.
func compareVersion(now ingest.Observation, file ingest.File) error {
	if now.Rejected != "" {
		return ingest.Errorf(ingest.KindChanged, "%s is no longer a regular file: %s", ingest.DisplayPath(file.RemotePath), now.Rejected)
	}
	if now.Size != file.Size || now.ModTime.Unix() != file.ModTime.Unix() && !file.Timeless() {
		return ingest.Errorf(ingest.KindChanged, "%s changed on the server: it was %d bytes of %s and is now %d bytes of %s",
			ingest.DisplayPath(file.RemotePath), file.Size, file.ModTime.UTC().Format(time.RFC3339), now.Size, now.ModTime.UTC().Format(time.RFC3339))
	}
	return nil
}
