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
	// Direct says that there is no room in staging and the file may be moved
	// without it; then it is all there is.
	Direct bool `json:"direct,omitempty"`
}

// ClaimHost finds the host for a file: the living one that has bytes of it
// already, or else the worker that runs this, where it reserves room. It is
// separate from Download so that a retried download goes back to where its
// bytes are instead of to whoever is free. A host without room answers
// KindStagingFull or KindStagingUnavailable, which is retried until some host has
// it, and put on record:
// a file that waits for disk space must not look like one that merely waits
// for its turn.
func (a *Activities) ClaimHost(ctx context.Context, in ClaimHostInput) (Host, error) {
	file, err := a.Ledger.File(ctx, in.FileUUID)
	if err != nil {
		return Host{}, applicationError(err)
	}
	if file.StagedOn != "" && file.StagedOn != a.Staging.HostID() {
		there := ingest.HostQueue(file.StagedOn)
		alive, err := a.alive(ctx, there)
		if err != nil {
			return Host{}, applicationError(err)
		}
		if alive {
			return Host{Queue: there, Timeout: a.HostTimeout}, nil
		}
	}
	err = a.Staging.Reserve(ctx, in.FileUUID, in.Size)
	if ingest.KindOf(err).Staging() && file.StagedOn == "" {
		server, serverErr := a.Ledger.Server(ctx, file.ServerUUID)
		if serverErr == nil && server.MayGoDirect() {
			return Host{Direct: true}, nil
		}
	}
	if err != nil {
		return Host{}, a.finishStep(ctx, ingest.StepDownload, file, err)
	}
	return Host{Queue: a.hostQueue(), Timeout: a.HostTimeout}, nil
}

// CheckHostInput names a host's queue.
type CheckHostInput struct {
	Queue string `json:"queue"`
}

// CheckHostResult says whether the host lives.
type CheckHostResult struct {
	Alive bool `json:"alive"`
}

// CheckHost reports whether the host lives: one that is only busy must not be
// taken for dead.
func (a *Activities) CheckHost(ctx context.Context, in CheckHostInput) (CheckHostResult, error) {
	alive, err := a.alive(ctx, in.Queue)
	return CheckHostResult{Alive: alive}, applicationError(err)
}

// alive reports whether a host gave a sign of life lately: in the ledger, or by
// asking Temporal for work. Either alone may be missing: a host that has its
// hands full asks for no work, and one may be cut off from the ledger.
func (a *Activities) alive(ctx context.Context, queue string) (bool, error) {
	seen, err := a.Debris.HostSeen(ctx, ingest.HostID(queue), a.HostFresh)
	if err != nil || seen {
		return seen, err
	}
	return a.Workflows.Polled(ctx, queue)
}

// DiscardStagedInput names the file whose staged bytes are no longer wanted.
type DiscardStagedInput struct {
	FileUUID string `json:"file_uuid"`
}

// DiscardStaged removes what this host holds of the file.
func (a *Activities) DiscardStaged(_ context.Context, in DiscardStagedInput) error {
	return applicationError(a.Staging.Discard(in.FileUUID))
}
