package activities

import (
	"context"
	"time"

	"stevedore/internal/ingest"
)

// originOf returns the origin that is stored with the staged bytes of the file.
func originOf(file ingest.File) ingest.Origin {
	return ingest.Origin{ServerUUID: file.ServerUUID, Path: []byte(file.RemotePath), Sidecar: []byte(file.Sidecar.Path)}
}

// readoptStaged handles a staged file that is missing in the ledger. If an older backup
// of the ledger was restored and a workflow for the file is open, it records the file
// again, and the workflow continues. The staged bytes may be the only copy, because the
// source may have been removed. readoptStaged reports whether the file is still unknown.
//
// The file is recorded as verified: a workflow before that step compares the partner's
// checksum anyway, and a workflow after it could not continue from an earlier status.
func (a *Activities) readoptStaged(ctx context.Context, fileUUID string) (unknown bool, err error) {
	staged, err := a.Staging.Staged(ctx, fileUUID)
	if ingest.IsKind(err, ingest.KindStagingLost) || err == nil && staged.Origin.ServerUUID == "" {
		return true, nil // incomplete, or staged by a version that did not record the origin
	}
	if err != nil {
		return true, err
	}
	open, err := a.Workflows.OpenIngests(ctx, []string{fileUUID})
	if err != nil || len(open) == 0 {
		return true, err
	}
	err = a.Reconciliation.Adopt(ctx, ingest.Forgotten{
		FileUUID: fileUUID, Origin: staged.Origin, ModTime: time.Unix(staged.ModTime, 0).UTC(), Staged: staged, Host: a.Staging.HostID(),
	})
	if ingest.IsKind(err, ingest.KindMissing) || ingest.IsKind(err, ingest.KindConflict) {
		return true, nil
	}
	return err != nil, err
}
