package activities

import (
	"context"
	"log/slog"
	"time"

	"stevedore/internal/ingest"
	"stevedore/internal/temporalnames"
)

// Deps are the dependencies of Activities. All interfaces are required.
type Deps struct {
	Ledger         Ledger
	Catalog        Catalog
	Slots          Reservations
	Reconciliation Reconciliation
	Sources        Sources
	Staging        Staging
	Memory         Memory
	Objects        Objects
	Direct         DirectDeps
	Publisher      Publisher
	Workflows      Workflows
	Audits         Audits
	Auditor        Auditor
	Log            *slog.Logger
	// HostTimeout bounds how long a task may wait in a host's queue before the workflow
	// checks whether the host is alive.
	HostTimeout time.Duration
	// HostFresh is the maximum age of the heartbeat of a host that counts as alive.
	// Workers write one every HostHeartbeatInterval, also when they are saturated and poll nothing.
	HostFresh time.Duration
	// StallTimeout bounds the time without a byte in a transfer, so that a silent peer
	// cannot hold a slot forever.
	StallTimeout time.Duration
	// ChecksumWait is the time in which a checksum file that does not match, or a file that
	// may not be read, is read again, because its writer may not have finished. It begins
	// at File.StableSince; a server's SidecarWait may be longer.
	ChecksumWait time.Duration
	// LeftRetry is the delay before a listing retries to delete or move a source or
	// companion; default 1 h.
	LeftRetry time.Duration
	// MaxTransfers bounds concurrent transfers on this worker, see shares; 0 means no
	// bound.
	MaxTransfers int
	// TryLimit bounds a listing within a workflow task; default 3 s.
	TryLimit time.Duration
	// ResumePause is the pause before the next login after a listing lost its connection,
	// times the tries of the folder; default 1 s.
	ResumePause time.Duration
}

// Activities implements all activities. Its methods may be called concurrently.
type Activities struct {
	Deps
	// released wakes the dispatchers of this process when a slot is released.
	released wakeups
	// trySlots bounds concurrent listings within workflow tasks.
	trySlots chan struct{}
	// startGate delays these listings while this process starts scans.
	startGate startGate
	// shares limits this worker's transfers and divides them among servers.
	shares *shares
	// reads counts, by server, transfers that fail soon after they start.
	reads readFailures
	// sidecars counts, by file, failures to read the checksum file.
	sidecars readFailures
}

// New returns the activities with their dependencies.
func New(deps Deps) *Activities {
	return &Activities{Deps: deps, trySlots: make(chan struct{}, maxTryListings), shares: newShares(deps.MaxTransfers)}
}

// apply commits a change of the file. If that releases a slot it wakes the server's
// dispatcher, if it runs in this process.
func (a *Activities) apply(ctx context.Context, file ingest.File, change ingest.Change) error {
	err := a.Ledger.Apply(ctx, change)
	if err == nil && change.FreeSlot {
		a.released.wake(file.ServerUUID)
	}
	return err
}

// HostHeartbeatInterval is the interval of a worker's heartbeat in the ledger.
const HostHeartbeatInterval = 10 * time.Second

// hostQueue returns the task queue of this worker's staging volume.
func (a *Activities) hostQueue() string { return temporalnames.HostQueue(a.Staging.HostID()) }
