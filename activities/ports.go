package activities

import (
	"context"
	"io"
	"time"

	"stevedore/internal/ingest"
)

// The interfaces below are the dependencies of activities, named by capability. Package
// worker connects the adapters to them.

// Ledger is the record of files and their events.
type Ledger interface {
	// File returns the file, or an error of KindMissing.
	File(ctx context.Context, fileUUID string) (ingest.File, error)
	// Server returns the server, or an error of KindMissing.
	Server(ctx context.Context, serverUUID string) (ingest.Server, error)
	// Claim increments the file's fence and returns the file. Writers holding an older
	// fence are rejected.
	Claim(ctx context.Context, fileUUID string) (ingest.File, error)
	// Apply commits a change. It returns KindFenced if a newer claim exists and
	// KindConflict if the transition is not allowed. It is idempotent.
	Apply(ctx context.Context, change ingest.Change) error
	// ClaimAndApply claims the file and, in the same commit, applies the change if its status is
	// one of change.From. It returns the resulting file. Without the slot that the
	// change requires it returns KindNoSlot and changes nothing.
	ClaimAndApply(ctx context.Context, change ingest.Change) (ingest.File, error)
	// Reprocess makes a completed file ready again, or returns KindConflict. It is
	// idempotent for the same action.
	Reprocess(ctx context.Context, fileUUID string, action ingest.OperatorAction) error
	// VerifyAction reports whether an operator action came from the API, which has written an
	// audit log entry. It adds an entry for other actions.
	VerifyAction(ctx context.Context, fileUUID string, action ingest.OperatorAction) (verified bool, err error)
	Moves
}

// Moves reserves names on partners' servers, one move at a time.
type Moves interface {
	// ReserveTarget reserves the name for the file until ReleaseTarget, at most for an hour. It
	// reports false if another file holds it. movedFrom is the source path of the file
	// last recorded there.
	ReserveTarget(ctx context.Context, fileUUID string, target ingest.MoveTarget) (kept bool, movedFrom string, err error)
	// ReleaseTarget ends the file's reservation, if it has one. movedFrom, when not empty,
	// records the path from which the file was moved there.
	ReleaseTarget(ctx context.Context, fileUUID string, target ingest.MoveTarget, movedFrom string) error
}

// Reservations enforces the concurrency limits of servers.
type Reservations interface {
	// RegisterDispatcher makes the caller the server's only dispatcher.
	RegisterDispatcher(ctx context.Context, serverUUID string) (fence int64, err error)
	// ReserveSlots reserves slots for at most limit ready files, the oldest first. It
	// returns KindFenced if another dispatcher has taken over.
	ReserveSlots(ctx context.Context, serverUUID string, fence int64, limit int) (ingest.Reservation, error)
	// Slots returns the server's reserved slots.
	Slots(ctx context.Context, serverUUID string) ([]ingest.Slot, error)
	// ReleaseSlot releases one slot; a missing one is no error.
	ReleaseSlot(ctx context.Context, fileUUID string, slot int64) error
}

// Catalog records the contents of servers.
type Catalog interface {
	// DueServers returns active servers in order of uuid, after the given one. With
	// Force it includes servers that are not due or are suspended.
	DueServers(ctx context.Context, q ingest.DueQuery) ([]ingest.Server, error)
	// ServerToScan returns the server and the duration of its last listing, or
	// KindMissing.
	ServerToScan(ctx context.Context, serverUUID string) (server ingest.Server, took time.Duration, err error)
	// Dispatchable reports whether the server has ready or deferred files, or slots
	// in use.
	Dispatchable(ctx context.Context, serverUUID string) (bool, error)
	// StartScan opens a scan row; the same key returns the same row.
	StartScan(ctx context.Context, serverUUID, key string) (scanID int64, err error)
	// Recorded returns the numbers of new and rejected files recorded since the scan
	// started.
	Recorded(ctx context.Context, scanID int64) (created, rejected int64, err error)
	// ScanCrashes returns the number of consecutive earlier attempts that left the row open.
	ScanCrashes(ctx context.Context, scanID int64) (int, error)
	// FinishScan closes the row and updates the server's last_scan_at, last_error and
	// state. A listing that opened no row is recorded completely.
	FinishScan(ctx context.Context, scan ingest.ScanResult) error
	// SuspendServer excludes the server from scheduled scans until the problem in the
	// message is fixed.
	SuspendServer(ctx context.Context, serverUUID, message string) error
	// LearnReadWindow records how many concurrent reads of a file the server supports.
	LearnReadWindow(ctx context.Context, serverUUID string, window int) error
	// Observe records the entries of a listing or recheck; source is recorded in the
	// discovered event. It returns the numbers of new and rejected files.
	Observe(ctx context.Context, serverUUID, source string, seen []ingest.Observation) (ingest.ScanCounts, error)
	// RecordIgnored records the ignored entries of the listing with the key. CompanionsDue
	// returns the companions among them that are due for a check, FilesOfCompanions the
	// ledger's state of the files they belong to.
	RecordIgnored(ctx context.Context, serverUUID, key string, seen []ingest.Observation) error
	CompanionsDue(ctx context.Context, serverUUID, key string, again time.Duration) ([]ingest.OrphanCompanion, error)
	FilesOfCompanions(ctx context.Context, serverUUID string, companions []ingest.OrphanCompanion) ([]ingest.CompanionUse, error)
	// SourcesLeft returns files whose sources are left and were not retried within the time.
	SourcesLeft(ctx context.Context, serverUUID string, untried time.Duration, limit int) ([]ingest.File, error)
	// HoldChanges runs at the end of a listing. It holds files for an operator that are
	// new only by their times, and returns a note on the listing.
	HoldChanges(ctx context.Context, server ingest.Server, l ingest.Listed) (note string, err error)
	// SuspectedMoves returns new files that may be ingested files under another path. They
	// do not become ready before a decision: DecideMoves holds files whose old paths are
	// gone and frees copies; DecideAllMoves applies the server's setting to all.
	SuspectedMoves(ctx context.Context, serverUUID string, limit int) ([]ingest.SuspectedMove, error)
	DecideMoves(ctx context.Context, server ingest.Server, gone []ingest.SuspectedMove, copies []int64) error
	DecideAllMoves(ctx context.Context, server ingest.Server) error
	// Settling returns discovered files in order of id, after the given one.
	Settling(ctx context.Context, serverUUID string, afterID int64, limit int) ([]ingest.File, error)
	// Unsettled returns files that never settled and were not listed within the time, in
	// order of id, after the given one.
	Unsettled(ctx context.Context, serverUUID string, unseen time.Duration, afterID int64, limit int) ([]ingest.File, error)
	// Promote makes discovered files ready that meet the server's rules. It returns how
	// many became ready and how many still settle.
	Promote(ctx context.Context, server ingest.Server) (promoted, settling int64, err error)
}

// Reconciliation provides the ledger's data for reconciliation, and the heartbeats of workers.
type Reconciliation interface {
	// UnchangedFiles returns files in flight or in error whose row has not changed within the
	// time, in order of id, after the given one.
	UnchangedFiles(ctx context.Context, unchanged time.Duration, afterID int64, limit int) ([]ingest.File, error)
	// CompletedWithin returns files completed within the time, in the same order.
	CompletedWithin(ctx context.Context, within time.Duration, afterID int64, limit int) ([]ingest.File, error)
	// RecordHeartbeat records a worker's heartbeat. HostSeen reports whether there was one
	// within the time; Hosts returns the hosts with one.
	RecordHeartbeat(ctx context.Context, hostID string) error
	HostSeen(ctx context.Context, hostID string, within time.Duration) (bool, error)
	Hosts(ctx context.Context, within time.Duration) ([]string, error)
	// Adopt records a file that is missing in the ledger. It returns KindMissing if its
	// server is unknown or removed, and KindConflict if another row has the version.
	Adopt(ctx context.Context, file ingest.Forgotten) error
	// RecordReconciliation records the result of a run, once for each key.
	RecordReconciliation(ctx context.Context, r ingest.Reconciliation) error
}

// Sources opens sessions on partners' servers.
type Sources interface {
	// Open logs in. Its permanent errors are server-level.
	Open(ctx context.Context, server ingest.Server) (Source, error)
}

// Source is a session on a server. Close returns it to the pool.
type Source interface {
	// OnReply sets a callback for answers that are progress: names of a folder, a
	// stat. It is called often and must not block. Reads of files do not call it.
	OnReply(fn func())
	// List walks the server's root and calls fn for each entry to be recorded, including
	// rejected ones. It returns the folders that could not be read, also with an error.
	List(ctx context.Context, request ingest.ListRequest, fn func(ingest.Observation) error) (ingest.Unread, error)
	// Includes returns a function that reports whether a listing by the server's current
	// settings includes a file path.
	Includes(ctx context.Context) (func(path string) bool, error)
	// Stat stats a path; KindNotFound if it does not exist.
	Stat(ctx context.Context, path string) (ingest.Observation, error)
	// Real returns the path with links resolved, as far as the server supports it.
	Real(ctx context.Context, path string) (string, error)
	// IgnoresCase reports whether the server finds the path regardless of case.
	IgnoresCase(ctx context.Context, path string) (bool, error)
	// OpenFile opens a regular file for reading.
	OpenFile(ctx context.Context, path string) (RemoteFile, error)
	// Remove and Rename delete and move a file, for the after-ingest action.
	Remove(ctx context.Context, path string) error
	Rename(ctx context.Context, from, to string) error
	Close() error
}

// RemoteFile reads an open remote file by offset. Its stats may differ from the earlier
// stat of its path.
type RemoteFile interface {
	io.ReaderAt
	io.Closer
	// Opened returns the stat made at opening; ok is false if the server does not
	// support it.
	Opened() (seen ingest.Observation, ok bool)
	// Restat stats the open file again.
	Restat(ctx context.Context) (seen ingest.Observation, ok bool, err error)
}

// Staging is this worker's folder for files in flight.
type Staging interface {
	// HostID identifies the staging volume across restarts.
	HostID() string
	// Reserve reserves room for the file, or returns KindStagingFull.
	Reserve(ctx context.Context, fileUUID string, size int64) error
	// Fetch copies the remote bytes in, resuming from the last checkpoint.
	Fetch(ctx context.Context, req ingest.Fetch) (ingest.Staged, error)
	// Staged returns a completely staged file, or KindStagingLost.
	Staged(ctx context.Context, fileUUID string) (ingest.Staged, error)
	// Digests re-reads the staged bytes and returns their size and hex digests
	// by the named algorithms, see ingest.AlgoSHA256.
	Digests(ctx context.Context, fileUUID string, progress func(done int64), algos ...string) (size int64, digests map[string]string, err error)
	// List returns the files that have data in staging.
	List() ([]ingest.Held, error)
	// Discard removes all data of the file; no data is no error.
	Discard(fileUUID string) error
}

// Objects is the object store.
type Objects interface {
	// Bucket returns the bucket for new objects.
	Bucket() string
	// Put stores the file under its key exactly once and verifies the object. An
	// existing object with the same content is success, other content KindConflict.
	Put(ctx context.Context, req ingest.Put) (ingest.Object, error)
	// PutBytes is Put for a small file in memory, with one request.
	PutBytes(ctx context.Context, req ingest.PutBytes) (ingest.Object, error)
	// Head returns an object's metadata; found is false if it does not exist. Digest
	// reads the object and returns the size and SHA-256 of its bytes.
	Head(ctx context.Context, bucket, key string) (object ingest.Object, found bool, err error)
	Digest(ctx context.Context, bucket, key string) (object ingest.Object, found bool, err error)
	// Uploads calls fn for each unfinished upload in the bucket; Abort aborts one.
	Uploads(ctx context.Context, fn func(ingest.OpenUpload) error) error
	Abort(ctx context.Context, upload ingest.OpenUpload) error
}

// Memory is the worker's budget for transfers in memory.
type Memory interface {
	// Acquire takes size bytes from the budget and waits until they are free or ctx
	// ends. The caller must call release once.
	Acquire(ctx context.Context, size int64) (release func(), err error)
	// ReadWhole reads exactly size bytes with concurrent reads. It returns them with
	// their SHA-256 in lower-case hex. A shorter or longer source is KindChanged, one
	// slower than minRate bytes per second KindSlow; 0 means any rate. answerTimeout bounds
	// the time without a byte; 0 is the default.
	ReadWhole(ctx context.Context, source io.ReaderAt, size, minRate int64, answerTimeout time.Duration) (content []byte, sha256 string, err error)
	// Sum returns the digest of content in lower-case hex.
	Sum(content []byte, algo string) (digest string, err error)
}

// Publisher publishes notifications of completed files.
type Publisher interface {
	// Publish returns once the broker has confirmed and routed the message.
	Publish(ctx context.Context, a ingest.Notification) (ingest.Receipt, error)
}

// Workflows provides the operations on Temporal.
type Workflows interface {
	// OpenIngests returns the files that have an open FileIngest.
	OpenIngests(ctx context.Context, fileUUIDs []string) ([]string, error)
	// Polled reports whether any worker polls the task queue.
	Polled(ctx context.Context, taskQueue string) (bool, error)
	// StartIngest starts the file's FileIngest with its slot. It reports false if an earlier
	// FileIngest is still open; that one does not have the slot.
	StartIngest(ctx context.Context, server ingest.Server, slot ingest.Slot) (started bool, err error)
	// StartScan starts the server's DiscoverFiles and reports true, or requests another
	// listing from the running one. Each pass has an effect only once.
	StartScan(ctx context.Context, server ServerRef, pass StartScansInput) (started bool, err error)
	// Wake makes the server's scan dispatch ready files now, and starts a scan if none
	// is running.
	Wake(ctx context.Context, server ingest.Server) error
}
