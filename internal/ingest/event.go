package ingest

import "time"

// EventType names a fact in the ledger. The first six and their detail keys
// are read by existing consumers and never change.
type EventType string

// The events of a file, in the order they usually happen.
const (
	// EventDiscovered {path, source}: first sight.
	EventDiscovered EventType = "discovered"
	// EventSettled {settle_sec}: unchanged for the settle time.
	EventSettled EventType = "settled"
	// EventDownloadStarted {server}.
	EventDownloadStarted EventType = "download_started"
	// EventDownloadResumed {offset}: went on from a checkpoint, offset in bytes.
	EventDownloadResumed EventType = "download_resumed"
	// EventDownloaded {size_mb, duration_sec, temp_path}.
	EventDownloaded EventType = "downloaded"
	// EventVerified {algo, hash, source}: source is "transfer" or the sidecar's name.
	EventVerified EventType = "verified"
	// EventUploadStart {target_bucket, target_key}.
	EventUploadStart EventType = "minio_upload_start"
	// EventUploaded {bucket, key, etag}.
	EventUploaded EventType = "minio_uploaded"
	// EventNotified {queue, message_id}.
	EventNotified EventType = "amqp_notify_sent"
	// EventRetryScheduled {step, kind, message, attempt}: a step failed and is tried again.
	EventRetryScheduled EventType = "retry_scheduled"
	// EventError {step, kind, message}: parked, or the reason of a terminal state.
	EventError EventType = "error"
	// EventVanished {step}, EventSuperseded {step}, EventRejected {reason}: why it was not taken.
	EventVanished   EventType = "vanished"
	EventSuperseded EventType = "superseded"
	EventRejected   EventType = "rejected"
	// EventSourceDone {action, moved_to}: the after-ingest action is done.
	EventSourceDone EventType = "source_done"
	// EventRequeued {reason}: it is ready again and waits for its turn.
	EventRequeued EventType = "requeued"
	// EventDeferred {step, kind, message, attempts}: it could not be fetched for
	// so many attempts; it is ready again, not before some time, and others go first.
	EventDeferred EventType = "deferred"
	// EventOperatorAction {action, from, actor, reason}.
	EventOperatorAction EventType = "operator_action"
)

// Event is one fact about a file.
type Event struct {
	Type EventType
	// Details is marshaled to JSON with the keys listed at the type.
	Details map[string]any
	// Key tells facts of one type apart within a round; a second event with
	// the same file, round, type and key is the same fact and is not written.
	Key string
}

// StoredEvent is an event as the ledger returns it.
type StoredEvent struct {
	ID        int64
	Type      EventType
	Timestamp time.Time
	Details   map[string]any
}

// Change is one step's outcome: a status, the columns that come with it and
// its events. All of it is committed in one transaction or not at all.
type Change struct {
	FileUUID string
	// Fence must be the file's current one; 0 means the change is an
	// operator's and is not fenced.
	Fence int64
	// To is the status afterwards; empty means that it stays.
	To Status
	// Events are appended unless the ledger has them already.
	Events []Event
	// Set holds columns to write; nil fields stay as they are.
	Set Columns
	// From, when not empty, restricts Take to files in one of these statuses: others
	// are only claimed.
	From []Status
	// Slot, when not 0, is the slot that the file must hold: otherwise the change is
	// rejected with KindNoSlot. With FreeSlot it is only the slot to be released.
	Slot int64
	// FreeSlot releases the file's slot, whatever its number when Slot is 0.
	FreeSlot bool
	// NewRound starts another round: what follows may be recorded again.
	NewRound bool
	// Defer keeps the file from being taken up again for some time: a minute
	// after the first time, then twice as long each time, a quarter of an hour
	// at most. Downloaded bytes or an operator's decision end that.
	Defer bool
}

// Columns are the columns a step may set. A nil pointer leaves the value.
type Columns struct {
	Hash      *string
	HashAlgo  *string
	Bucket    *string
	ObjectKey *string
	ETag      *string
	// Checksum is the store's own checksum of the object, see File.Checksum.
	Checksum *string
	Mode     *Mode
	// StagedOn is the id of the host that has, or had, bytes of the file; empty clears it.
	StagedOn *string
	// Sidecar is the checksum file that was compared, as it was.
	Sidecar *Companion
	// SourceLeft says why the source is still where it was; empty clears it.
	SourceLeft *string
	// SourceGone notes that the source is not on the server any more.
	SourceGone bool
	// ShownTime is the time that the server shows of the version.
	ShownTime *time.Time
	// Error sets error_step, error_kind and error_message; a pointer to the zero
	// Failure clears them.
	Error *Failure
}

// Failure is why a step failed, for people.
type Failure struct {
	Step    Step   `json:"step"`
	Kind    Kind   `json:"kind"`
	Message string `json:"message"`
}
