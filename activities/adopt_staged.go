package activities

import (
	"context"
	"time"

	"stevedore/internal/ingest"
)

// originOf is kept with the staged bytes of the file.
func originOf(file ingest.File) ingest.Origin {
	return ingest.Origin{ServerUUID: file.ServerUUID, Path: []byte(file.RemotePath), Sidecar: []byte(file.Sidecar.Path)}
}

// forgotten looks at a staged file that the ledger does not know: when an older
// backup of it was restored and a workflow still carries the file, the file is
// recorded again, and that workflow goes on with it. The bytes here may be the
// only ones, because the partner may have removed the source. It reports whether
// the file is still unknown.
//
// It is recorded as verified: a workflow before that step compares with the
// partner's checksum in any case, and none after it could go back.
func (a *Activities) readoptStaged(ctx context.Context, fileUUID string) (unknown bool, err error) {
	staged, err := a.Staging.Staged(ctx, fileUUID)
	if ingest.IsKind(err, ingest.KindStagingLost) || err == nil && staged.Origin.ServerUUID == "" {
		return true, nil // not whole, or staged by a version that did not say whose it is
	}
	if err != nil {
		return true, err
	}
	open, err := a.Workflows.OpenIngests(ctx, []string{fileUUID})
	if err != nil || len(open) == 0 {
		return true, err
	}
	err = a.Debris.Adopt(ctx, ingest.Forgotten{
		FileUUID: fileUUID, Origin: staged.Origin, ModTime: time.Unix(staged.ModTime, 0).UTC(), Staged: staged, Host: a.Staging.HostID(),
	})
	if ingest.IsKind(err, ingest.KindMissing) || ingest.IsKind(err, ingest.KindConflict) {
		return true, nil
	}
	return err != nil, err
}
