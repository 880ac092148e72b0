package activities

import (
	"context"
	"time"

	"stevedore/internal/ingest"
)

// ClaimHostInput names the file that looks for a host.
type ClaimHostInput struct {
	FileUUID string `json:"file_uuid"`
	// Size in bytes, to be reserved on the host's staging volume.
	Size int64 `json:"size"`
}

// Host is a worker that has room for a file.
type Host struct {
	// Queue is its own task queue.
	Queue string `json:"queue"`
	// Timeout is how long a task may wait in Queue before the host is doubted.
	Timeout time.Duration `json:"timeout"`
}

// ClaimHost reserves room for the file on the worker that runs it and returns
// that worker's queue. It is separate from Download so that a retried download
// goes back to where its bytes are instead of to whoever is free. A host
// without room answers KindStagingFull, which is retried until some host has it.
func (a *Activities) ClaimHost(ctx context.Context, in ClaimHostInput) (Host, error) {
	if err := a.Staging.Reserve(ctx, in.FileUUID, in.Size); err != nil {
		return Host{}, a.claimFailed(ctx, in.FileUUID, err)
	}
	return Host{Queue: a.hostQueue(), Timeout: a.HostTimeout}, nil
}

// claimFailed puts the wait for room on record: a file that waits for disk
// space must not look like one that merely waits for its turn.
func (a *Activities) claimFailed(ctx context.Context, fileUUID string, cause error) error {
	file, err := a.Ledger.File(ctx, fileUUID)
	if err != nil {
		return applicationError(cause)
	}
	return a.settle(ctx, ingest.StepDownload, file, cause)
}

// CheckHostInput names a host's queue.
type CheckHostInput struct {
	Queue string `json:"queue"`
}

// CheckHostResult says whether the host lives.
type CheckHostResult struct {
	Alive bool `json:"alive"`
}

// CheckHost reports whether any worker still polls the host's queue: a host
// that is only busy must not be taken for dead.
func (a *Activities) CheckHost(ctx context.Context, in CheckHostInput) (CheckHostResult, error) {
	alive, err := a.Workflows.Polled(ctx, in.Queue)
	return CheckHostResult{Alive: alive}, applicationError(err)
}

// DiscardStagedInput names the file whose staged bytes are no longer wanted.
type DiscardStagedInput struct {
	FileUUID string `json:"file_uuid"`
}

// DiscardStaged removes what this host holds of the file.
func (a *Activities) DiscardStaged(_ context.Context, in DiscardStagedInput) error {
	return applicationError(a.Staging.Discard(in.FileUUID))
}
