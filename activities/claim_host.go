package activities

import (
	"context"
	"time"

	"stevedore/internal/ingest"
	"stevedore/internal/temporalnames"
)

// ClaimHostInput names the file for which a host is needed.
type ClaimHostInput struct {
	FileUUID string `json:"file_uuid"`
	// Size in bytes to reserve on the host's staging volume.
	Size int64 `json:"size"`
}

// Host is a worker whose staging has room for a file.
type Host struct {
	// Queue is the host's own task queue.
	Queue string `json:"queue"`
	// Timeout bounds how long a task may wait in Queue before the host is checked.
	Timeout time.Duration `json:"timeout"`
	// Direct: staging has no room and the file may be transferred directly; the other
	// fields are empty.
	Direct bool `json:"direct,omitempty"`
}

// ClaimHost returns the live host that already has bytes of the file, or else reserves
// room on the worker that runs it. It is separate from Download so that retries run on
// the host that has the bytes. If there is no room it returns KindStagingFull or
// KindStagingUnavailable, and the ledger records that the file waits for disk space.
func (a *Activities) ClaimHost(ctx context.Context, in ClaimHostInput) (Host, error) {
	file, err := a.Ledger.File(ctx, in.FileUUID)
	if err != nil {
		return Host{}, applicationError(err)
	}
	if file.StagedOn != "" && file.StagedOn != a.Staging.HostID() {
		there := temporalnames.HostQueue(file.StagedOn)
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

// CheckHostResult is the result of CheckHost.
type CheckHostResult struct {
	Alive bool `json:"alive"`
}

// CheckHost reports whether the host is alive. A saturated host is.
func (a *Activities) CheckHost(ctx context.Context, in CheckHostInput) (CheckHostResult, error) {
	alive, err := a.alive(ctx, in.Queue)
	return CheckHostResult{Alive: alive}, applicationError(err)
}

// alive reports whether a host wrote a heartbeat to the ledger recently or polls
// Temporal. One is enough: a saturated host does not poll, and a host may have lost its
// connection to the ledger.
func (a *Activities) alive(ctx context.Context, queue string) (bool, error) {
	seen, err := a.Reconciliation.HostSeen(ctx, temporalnames.HostID(queue), a.HostFresh)
	if err != nil || seen {
		return seen, err
	}
	return a.Workflows.Polled(ctx, queue)
}

// DiscardStagedInput names the file whose staged bytes are removed.
type DiscardStagedInput struct {
	FileUUID string `json:"file_uuid"`
}

// DiscardStaged removes the staged bytes of the file on this host.
func (a *Activities) DiscardStaged(_ context.Context, in DiscardStagedInput) error {
	return applicationError(a.Staging.Discard(in.FileUUID))
}
