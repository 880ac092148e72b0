package ingest

import "time"

// EventType is the type of an event in the ledger. Existing consumers read the
// types and their detail keys: they never change.
type EventType string

// The events of a file, in their usual order. Braces list the detail keys.
const (
	// EventDiscovered {path, source}: first seen.
	EventDiscovered EventType = "discovered"
	// EventSettled {settle_sec}: settled.
	EventSettled EventType = "settled"
	// EventDownloadStarted {server}: reading starts.
	EventDownloadStarted EventType = "download_started"
	// EventDownloadResumed {offset}: resumed from a checkpoint at the offset in bytes.
	EventDownloadResumed EventType = "download_resumed"
	// EventDownloaded {size_mb, duration_sec, temp_path}: all bytes read.
	EventDownloaded EventType = "downloaded"
	// EventVerified {algo, hash, source}: source is "transfer" or the checksum file's
	// name.
	EventVerified EventType = "verified"
	// EventUploadStart {target_bucket, target_key}: the upload starts.
	EventUploadStart EventType = "minio_upload_start"
	// EventUploaded {bucket, key, etag}: the object is stored and verified.
	EventUploaded EventType = "minio_uploaded"
	// EventNotified {queue, message_id}: the broker confirmed the notification.
	EventNotified EventType = "amqp_notify_sent"
	// EventRetryScheduled {step, kind, message, attempt}: a step failed and is retried.
	EventRetryScheduled EventType = "retry_scheduled"
	// EventError {step, kind, message}: a step failed permanently.
	EventError EventType = "error"
	// EventVanished {step, kind, message}, EventSuperseded {step, kind, message} and
	// EventRejected {reason}: why the file is not ingested.
	EventVanished   EventType = "vanished"
	EventSuperseded EventType = "superseded"
	EventRejected   EventType = "rejected"
	// EventSourceDone {action, moved_to, found}: the after-ingest action is done.
	EventSourceDone EventType = "source_done"
	// EventRequeued {reason}: the file is ready again and waits for a slot.
	EventRequeued EventType = "requeued"
	// EventDeferred {step, kind, message, attempts}: the attempts to fetch the file
	// failed and it is deferred.
	EventDeferred EventType = "deferred"
	// EventOperatorAction {action, from, actor, reason, verified, entry}: an operator
	// acted.
	EventOperatorAction EventType = "operator_action"
)

// Event is an event to record about a file.
type Event struct {
	Type EventType
	// Details are stored as JSON with the keys listed at the type.
	Details map[string]any
	// Key distinguishes events of one type within a round. A second event with the
	// same file, round, type and key is not recorded.
	Key string
}

// StoredEvent is a recorded event.
type StoredEvent struct {
	ID        int64
	Type      EventType
	Timestamp time.Time
	Details   map[string]any
}

// Change is the result of one step: status, columns and events. The ledger commits
// it in one transaction.
type Change struct {
	FileUUID string
	// Fence must be the file's current fence. 0 disables the check, for operator actions.
	Fence int64
	// To is the new status; empty keeps the current one.
	To Status
	// Events are recorded unless the ledger has them already.
	Events []Event
	// Set contains the columns to write.
	Set Columns
	// From, when not empty, restricts ClaimAndApply to files in one of these statuses. Files in
	// another status are claimed without the change.
	From []Status
	// Slot, when not 0, must be the file's slot, else the change is rejected with
	// KindNoSlot. With FreeSlot it restricts the release to that slot instead.
	Slot int64
	// FreeSlot releases the file's slot: any slot when Slot is 0.
	FreeSlot bool
	// NewRound increments File.Round, so that events can be recorded again.
	NewRound bool
	// Defer increments File.Deferrals and sets File.NotBefore: 10 seconds after the
	// first deferral, twice as long each time, at most 15 minutes. Downloaded bytes or
	// an operator action reset both.
	Defer bool
}

// Columns are the columns that a step may set. A nil pointer keeps the value.
type Columns struct {
	Hash      *string
	HashAlgo  *string
	Bucket    *string
	ObjectKey *string
	ETag      *string
	// Checksum is the store's checksum of the object, see File.Checksum.
	Checksum *string
	Mode     *Mode
	// StagedOn is the staging volume's id, see File.StagedOn; empty clears it.
	StagedOn *string
	// Sidecar is the checksum file that was compared.
	Sidecar *Companion
	// SourceLeft is the reason why the source is still on the server; empty clears it.
	SourceLeft *string
	// SourceGone records that the source is no longer on the server.
	SourceGone bool
	// ShownTime is the time in listings, see SourceState.ShownTime.
	ShownTime *time.Time
	// Error sets error_step, error_kind and error_message; a pointer to the zero
	// Failure clears them.
	Error *Failure
}

// Failure is the failure of a step; Message is one line for users.
type Failure struct {
	Step    Step   `json:"step"`
	Kind    Kind   `json:"kind"`
	Message string `json:"message"`
}

// LedgerEvent is an event with its file.
type LedgerEvent struct {
	StoredEvent
	FileUUID   string
	ServerName string
	// Status is the file's current status.
	Status Status
}
