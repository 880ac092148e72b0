package activities

import (
	"context"
	"log/slog"
	"time"

	"stevedore/internal/ingest"
)

// Deps are the outside world of Activities. All are required.
type Deps struct {
	Ledger    Ledger
	Catalog   Catalog
	Slots     Reservations
	Debris    Debris
	Sources   Sources
	Staging   Staging
	Memory    Memory
	Objects   Objects
	Direct    DirectDeps
	Announcer Announcer
	Workflows Workflows
	Audits    Audits
	Auditor   Auditor
	Log       *slog.Logger
	// HostTimeout is how long a task may wait for this host before the host is
	// asked for; after it a host nobody polls is given up.
	HostTimeout time.Duration
	// HostFresh is how recently a host must have been seen to count as alive.
	// Workers say that they live every HostBeat, also while all they can do is
	// being done and they poll for nothing.
	HostFresh time.Duration
	// NoProgress ends a transfer in which no byte moves for this long, so that
	// a peer that holds the line but sends nothing cannot hold a slot for ever.
	NoProgress time.Duration
	// ChecksumWait is how long after the first sight of a file a checksum file that
	// does not fit it is looked at again; a server's SidecarWait may be longer.
	ChecksumWait time.Duration
	// LeftRetry is how long a source or companion that could not be deleted or moved
	// is left alone before a listing tries it again; default 1h.
	LeftRetry time.Duration
	// MaxTransfers is how many transfers run at once on this worker, see shares;
	// default 0, which is any number.
	MaxTransfers int
	// TryLimit bounds a listing within a workflow task; default 3 s.
	TryLimit time.Duration
}

// Activities implements every activity of stevedore.
type Activities struct {
	Deps
	// released wakes the dispatchers in this process.
	released wakeups
	// tries are the places of listings within workflow tasks.
	trySlots chan struct{}
	// passes holds these listings back while this process starts scans.
	startGate startGate
	// shares divides this worker's transfers among servers.
	shares *shares
	// reads counts transfers that fail as they begin.
	reads readFailures
	// sidecars counts, by file, failures to read its checksum file.
	sidecars readFailures
}

// New returns the activities over the given world.
func New(deps Deps) *Activities {
	return &Activities{Deps: deps, trySlots: make(chan struct{}, maxTryListings), shares: newShares(deps.MaxTransfers)}
}

// apply commits a change of the file, and wakes the dispatcher of its server, if
// it runs in this process, when that released a slot.
func (a *Activities) apply(ctx context.Context, file ingest.File, change ingest.Change) error {
	err := a.Ledger.Apply(ctx, change)
	if err == nil && change.FreeSlot {
		a.released.wake(file.ServerUUID)
	}
	return err
}

// HostBeat is how often a worker says that it lives.
const HostBeat = 20 * time.Second

// hostQueue is the task queue of this worker's staging volume.
func (a *Activities) hostQueue() string { return ingest.HostQueue(a.Staging.HostID()) }
