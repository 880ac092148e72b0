package activities

import (
	"context"
	"io"
	"time"

	"stevedore/internal/ingest"
)

// The interfaces below are what activities need of the outside world, named by
// capability. The worker package fits the adapters to them.

// Ledger is the record of files and their events.
type Ledger interface {
	// File returns the file, or an error of KindMissing.
	File(ctx context.Context, fileUUID string) (ingest.File, error)
	// Server returns the server, or an error of KindMissing.
	Server(ctx context.Context, serverUUID string) (ingest.Server, error)
	// Claim raises the file's fence and returns the file as it then is. Whoever
	// held an older fence can no longer change the file.
	Claim(ctx context.Context, fileUUID string) (ingest.File, error)
	// Apply commits a change, or returns an error of KindFenced when a newer
	// claim exists and of KindConflict when the transition is not allowed.
	// Applying the same change twice is the same as once.
	Apply(ctx context.Context, change ingest.Change) error
	// Take claims the file and, in the same commit, applies the change to it if its
	// status is one of change.From. It returns the file as it is then. Without the
	// slot that the change asks for it is KindNoSlot and changes nothing.
	Take(ctx context.Context, change ingest.Change) (ingest.File, error)
	// Reprocess makes a completed file ready again, or returns KindConflict. The same
	// action twice is the same as once.
	Reprocess(ctx context.Context, fileUUID string, action ingest.OperatorAction) error
	// Vouch reports whether an operator's action came by the API or the command line,
	// and notes in the audit log one that did not.
	Vouch(ctx context.Context, fileUUID string, action ingest.OperatorAction) (verified bool, err error)
	Moves
}

// Moves keeps names on partners' servers for one move at a time.
type Moves interface {
	// KeepTarget keeps the name for the file alone, until FreeTarget or for an hour.
	// It reports false when another file has it, and else from which path the file came
	// that was recorded there last.
	KeepTarget(ctx context.Context, fileUUID string, target ingest.MoveTarget) (kept bool, movedFrom string, err error)
	// FreeTarget gives the name back, if the file has it. movedFrom, when not empty,
	// records that the file was moved there from that path.
	FreeTarget(ctx context.Context, fileUUID string, target ingest.MoveTarget, movedFrom string) error
}

// Reservations keep the concurrency limits of servers.
type Reservations interface {
	// TakeDispatch makes the caller the server's only dispatcher.
	TakeDispatch(ctx context.Context, serverUUID string) (fence int64, err error)
	// ReserveSlots reserves slots for at most limit ready files, those first that
	// have waited longest. KindFenced: another dispatcher has taken over.
	ReserveSlots(ctx context.Context, serverUUID string, fence int64, limit int) (ingest.Reservation, error)
	// Slots returns the server's reserved slots.
	Slots(ctx context.Context, serverUUID string) ([]ingest.Slot, error)
	// ReleaseSlot releases one slot; none there is no error.
	ReleaseSlot(ctx context.Context, fileUUID string, slot int64) error
}

// Catalog records what servers show.
type Catalog interface {
	// DueServers returns active servers in order of uuid, starting after the
	// given one. With force it returns those not yet due and suspended ones too.
	DueServers(ctx context.Context, q ingest.DueQuery) ([]ingest.Server, error)
	// ServerToScan returns the server, or KindMissing, and how long its last listing
	// took.
	ServerToScan(ctx context.Context, serverUUID string) (server ingest.Server, took time.Duration, err error)
	// Dispatchable reports whether the server has ready or deferred files, or slots
	// in use.
	Dispatchable(ctx context.Context, serverUUID string) (bool, error)
	// StartScan opens a scan row; the same key gives the same row.
	StartScan(ctx context.Context, serverUUID, key string) (scanID int64, err error)
	// Recorded is how many rows of files, new and rejected, were made since the scan
	// began.
	Recorded(ctx context.Context, scanID int64) (news, rejected int64, err error)
	// ScanDeaths is how many attempts in a row before this one left the row open.
	ScanDeaths(ctx context.Context, scanID int64) (int, error)
	// FinishScan closes it and sets the server's last_scan_at, last_error and state.
	// A listing that opened no row is recorded as a whole.
	FinishScan(ctx context.Context, scan ingest.ScanResult) error
	// SuspendServer keeps the server from being scanned on schedule until a
	// person has mended what the message says.
	SuspendServer(ctx context.Context, serverUUID, message string) error
	// LearnReadWindow records how many reads of one file the server bears.
	LearnReadWindow(ctx context.Context, serverUUID string, window int) error
	// Observe records what a listing or stat saw; source goes into the
	// discovered event. It returns the counts of new and rejected rows.
	Observe(ctx context.Context, serverUUID, source string, seen []ingest.Observation) (ingest.ScanCounts, error)
	// NoteAside records what the listing of the key set aside. CompanionsDue returns
	// the companions among it that are to be looked after now, TakenWith what the
	// ledger has of the files they speak of.
	NoteAside(ctx context.Context, serverUUID, key string, seen []ingest.Observation) error
	CompanionsDue(ctx context.Context, serverUUID, key string, again time.Duration) ([]ingest.Alone, error)
	TakenWith(ctx context.Context, serverUUID string, companions []ingest.Alone) ([]ingest.Spoken, error)
	// SourcesLeft returns files whose sources are left and were not tried for the time.
	SourcesLeft(ctx context.Context, serverUUID string, untried time.Duration, limit int) ([]ingest.File, error)
	// Judge decides, at the end of a listing, which of the files that are new only by
	// their times are held for an operator, and returns what the listing noticed.
	Judge(ctx context.Context, server ingest.Server, l ingest.Listed) (note string, err error)
	// Settling returns discovered files in order of id, after the given one.
	Settling(ctx context.Context, serverUUID string, afterID int64, limit int) ([]ingest.File, error)
	// Unsettled returns files that never settled and that no listing has shown for the
	// time, in order of id, after the given one.
	Unsettled(ctx context.Context, serverUUID string, unseen time.Duration, afterID int64, limit int) ([]ingest.File, error)
	// Promote makes those discovered files ready that meet the server's rules,
	// and returns how many it made ready and how many still settle.
	Promote(ctx context.Context, server ingest.Server) (promoted, settling int64, err error)
}

// Debris is what the reconciler asks the ledger.
type Debris interface {
	// Unmoved returns files on their way or in error whose row has not changed
	// for the time, in order of id, after the given one.
	Unmoved(ctx context.Context, unchanged time.Duration, afterID int64, limit int) ([]ingest.File, error)
	// CompletedWithin returns lately completed files, likewise.
	CompletedWithin(ctx context.Context, within time.Duration, afterID int64, limit int) ([]ingest.File, error)
	// SeeHost notes that a worker lives; HostSeen reports whether one was seen
	// within the time, and Hosts returns all that were.
	SeeHost(ctx context.Context, hostID string) error
	HostSeen(ctx context.Context, hostID string, within time.Duration) (bool, error)
	Hosts(ctx context.Context, within time.Duration) ([]string, error)
	// Adopt gives the ledger back a file that it has forgotten. KindMissing or
	// KindConflict: its server is not known or was removed, or another row has the
	// version.
	Adopt(ctx context.Context, file ingest.Forgotten) error
	// RecordReconciliation writes what a run did; the same key is written once.
	RecordReconciliation(ctx context.Context, r ingest.Reconciliation) error
}

// Sources opens sessions on partners' servers.
type Sources interface {
	// Open logs in. Its permanent errors are ServerLevel.
	Open(ctx context.Context, server ingest.Server) (Source, error)
}

// Source is a session on one server. Close gives it back.
type Source interface {
	// OnAnswer sets what is called, at once and often, when the server has
	// answered something that brings the work forward: names of a folder, the
	// look at a file. Reads of files are not told.
	OnAnswer(fn func())
	// List walks the server's root and calls fn for each entry to be recorded,
	// rejected ones included. It returns which folders could not be read, also
	// beside an error.
	List(ctx context.Context, request ingest.ListRequest, fn func(ingest.Observation) error) (ingest.Unread, error)
	// Takes returns what says of a file's path whether a listing by the server's
	// present settings would take it.
	Takes(ctx context.Context) (func(path string) bool, error)
	// Stat looks at one path again: KindNotFound when it is gone.
	Stat(ctx context.Context, path string) (ingest.Observation, error)
	// Real returns the path without links, as far as the server knows it.
	Real(ctx context.Context, path string) (string, error)
	// OpenFile opens a regular file for reading.
	OpenFile(ctx context.Context, path string) (RemoteFile, error)
	// Remove and Rename are the after-ingest actions.
	Remove(ctx context.Context, path string) error
	Rename(ctx context.Context, from, to string) error
	Close() error
}

// RemoteFile reads an open remote file by offset.
type RemoteFile interface {
	io.ReaderAt
	io.Closer
}

// Staging is this worker's folder of files on their way.
type Staging interface {
	// HostID names the staging volume; it survives restarts.
	HostID() string
	// Reserve makes sure that the file's bytes have room, or returns KindStagingFull.
	Reserve(ctx context.Context, fileUUID string, size int64) error
	// Fetch copies the remote bytes in, resuming from the last checkpoint.
	Fetch(ctx context.Context, req ingest.Fetch) (ingest.Staged, error)
	// Staged returns a file whose bytes are all here, or KindStagingLost.
	Staged(ctx context.Context, fileUUID string) (ingest.Staged, error)
	// Digests re-reads the staged bytes and returns their size and hex digests
	// by the named algorithms, see ingest.AlgoSHA256.
	Digests(ctx context.Context, fileUUID string, progress func(done int64), algos ...string) (size int64, digests map[string]string, err error)
	// List returns the files that have something here.
	List() ([]ingest.Held, error)
	// Discard removes everything of the file; nothing there is no error.
	Discard(fileUUID string) error
}

// Objects is the object store.
type Objects interface {
	// Bucket is where objects go.
	Bucket() string
	// Put stores the file under its key exactly once and proves it. Finding the
	// same content there already is success; other content is KindConflict.
	Put(ctx context.Context, req ingest.Put) (ingest.Object, error)
	// PutBytes is Put for a small file in memory, by one request.
	PutBytes(ctx context.Context, req ingest.PutBytes) (ingest.Object, error)
	// Head looks at an object; found is false when there is none. Digest reads it
	// and returns the size and SHA-256 of its bytes.
	Head(ctx context.Context, bucket, key string) (object ingest.Object, found bool, err error)
	Digest(ctx context.Context, bucket, key string) (object ingest.Object, found bool, err error)
	// Uploads calls fn for each unfinished upload of the bucket; Abort ends one.
	Uploads(ctx context.Context, fn func(ingest.OpenUpload) error) error
	Abort(ctx context.Context, upload ingest.OpenUpload) error
}

// Memory is the worker's budget for files moved in memory.
type Memory interface {
	// Acquire takes size bytes of the budget, waiting until they are free or ctx
	// ends. The caller calls release once.
	Acquire(ctx context.Context, size int64) (release func(), err error)
	// ReadWhole reads exactly size bytes with several reads outstanding and returns
	// them with their SHA-256 in lower-case hex. A shorter or longer source is KindChanged, one
	// below minRate bytes per second KindSlow; 0 is any rate. silence bounds the time
	// without a byte; 0 is the default.
	ReadWhole(ctx context.Context, source io.ReaderAt, size, minRate int64, silence time.Duration) (content []byte, sha256 string, err error)
	// Sum returns the digest of bytes in lower-case hex.
	Sum(content []byte, algo string) (digest string, err error)
}

// Announcer tells consumers about completed files.
type Announcer interface {
	// Announce returns once the broker has confirmed and routed the message.
	Announce(ctx context.Context, a ingest.Announcement) (ingest.Receipt, error)
}

// Workflows asks Temporal about what runs.
type Workflows interface {
	// OpenIngests returns those of the files that have an open FileIngest.
	OpenIngests(ctx context.Context, fileUUIDs []string) ([]string, error)
	// Polled reports whether any worker polls the task queue.
	Polled(ctx context.Context, taskQueue string) (bool, error)
	// StartIngest starts the file's FileIngest with its slot, and reports false when
	// one runs already, which does not have that slot.
	StartIngest(ctx context.Context, server ingest.Server, slot ingest.Slot) (started bool, err error)
	// StartScan starts the server's DiscoverFiles, or asks the one that runs to list
	// once more; started tells which. Only once for each pass.
	StartScan(ctx context.Context, server ServerRef, pass StartScansInput) (started bool, err error)
	// Wake makes the server's scan look for ready files now, and starts one if
	// none runs.
	Wake(ctx context.Context, server ingest.Server) error
}
