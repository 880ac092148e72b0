package ingest

import (
	"slices"
	"strconv"
	"time"
)

// The constructors below create every ledger change of a file. They alone define
// which status, columns, event and detail keys belong together. EventKeys
// documents the keys; a test compares the two.

// EventKeys lists the detail keys of each event type. Consumers read them: keys
// may be added, but never renamed or removed.
var EventKeys = map[EventType][]string{
	EventDiscovered:      {"path", "source"},
	EventSettled:         {"settle_sec"},
	EventDownloadStarted: {"server"},
	EventDownloadResumed: {"offset"},
	EventDownloaded:      {"size_mb", "duration_sec", "temp_path"},
	EventVerified:        {"algo", "hash", "source"},
	EventUploadStart:     {"target_bucket", "target_key"},
	EventUploaded:        {"bucket", "key", "etag"},
	EventNotified:        {"queue", "message_id"},
	EventRetryScheduled:  {"step", "kind", "message", "attempt"},
	EventError:           {"step", "kind", "message"},
	EventVanished:        {"step", "kind", "message"},
	EventSuperseded:      {"step", "kind", "message"},
	EventRejected:        {"reason"},
	EventSourceDone:      {"action"},
	EventRequeued:        {"reason"},
	EventDeferred:        {"step", "kind", "message", "attempts"},
	EventOperatorAction:  {"action", "actor", "reason", "verified"},
}

// of returns an empty change of the file with its fence.
func of(file File) Change { return Change{FileUUID: file.UUID, Fence: file.Fence} }

// with returns the change with an additional event.
func (c Change) with(event EventType, key string, details map[string]any) Change {
	c.Events = append(c.Events, Event{Type: event, Key: key, Details: details})
	return c
}

// noFailure returns the value that clears the file's last failure.
func noFailure() *Failure { return &Failure{} }

// Started records the start of reading in the mode. If slot is not 0, the change
// is rejected unless the file holds that slot. stagedOn is the id of the staging
// volume, empty for other modes.
func Started(file File, mode Mode, slot int64, stagedOn string) Change {
	c := of(file).with(EventDownloadStarted, "", map[string]any{"server": file.ServerName})
	c.To, c.Slot = StatusDownloading, slot
	c.Set = Columns{Mode: &mode, StagedOn: &stagedOn}
	return c
}

// Resumed records the offset in bytes at which a copy resumes. It is a separate
// change because the rest of a large file may take hours.
func Resumed(file File, offset int64) Change {
	return of(file).with(EventDownloadResumed, strconv.FormatInt(offset, 10), map[string]any{"offset": offset})
}

// Fetched describes the bytes of a file after all of them were read.
type Fetched struct {
	Mode Mode
	// Path is the local path; only used in ModeStaged.
	Path string
	// Size is in bytes; SHA256 is in lower-case hex.
	Size   int64
	SHA256 string
	// Took is the duration of the read.
	Took time.Duration
}

func (f Fetched) details() map[string]any {
	return map[string]any{
		"size_mb": float64(f.Size) / (1 << 20), "duration_sec": f.Took.Seconds(), "temp_path": f.Mode.TempPath(f.Path),
	}
}

// hashAlgo is the only algorithm of File.Hash.
const hashAlgo = "sha256"

// Downloaded records that all bytes are staged on the volume with the id host.
func Downloaded(file File, fetched Fetched, host string) Change {
	algo := hashAlgo
	c := of(file).with(EventDownloaded, fetched.SHA256, fetched.details())
	c.To = StatusDownloaded
	c.Set = Columns{Hash: &fetched.SHA256, HashAlgo: &algo, StagedOn: &host, Error: noFailure()}
	return c
}

// Adopted returns the events for a completely staged file that is missing in the ledger,
// e.g. after a restore. They equal the events of the lost row.
func Adopted(file Forgotten, server string) []Event {
	fetched := Fetched{Path: file.Staged.Path, Size: file.Staged.Size, SHA256: file.Staged.SHA256}
	return []Event{
		{Type: EventDiscovered, Details: map[string]any{"path": DisplayPath(string(file.Path)), "source": "staging"}},
		{Type: EventSettled, Details: map[string]any{"settle_sec": 0}},
		{Type: EventDownloadStarted, Details: map[string]any{"server": server}},
		{Type: EventDownloaded, Key: file.Staged.SHA256, Details: fetched.details()},
		{Type: EventVerified, Key: file.Staged.SHA256, Details: map[string]any{"algo": hashAlgo, "hash": file.Staged.SHA256, "source": "staging"}},
	}
}

// Verified records that size and hash match. source is the origin of the expected
// hash: "transfer", or the name of the partner's checksum file.
func Verified(file File, source string) Change {
	c := of(file).verified(file.Hash, source)
	c.To, c.Set = StatusVerified, Columns{Error: noFailure()}
	return c
}

func (c Change) verified(hash, source string) Change {
	return c.with(EventVerified, hash, map[string]any{"algo": hashAlgo, "hash": hash, "source": source})
}

// UploadStarted records the object's location before its first byte is sent.
func UploadStarted(file File, bucket, key string) Change {
	c := of(file).uploadStarted(bucket, key)
	c.To = StatusUploading
	return c
}

func (c Change) uploadStarted(bucket, key string) Change {
	c.Set.Bucket, c.Set.ObjectKey = &bucket, &key
	return c.with(EventUploadStart, "", map[string]any{"target_bucket": bucket, "target_key": key})
}

// DirectUploadStarted records the object's location in direct mode. The status
// stays downloading, because the bytes are still being read.
func DirectUploadStarted(file File, bucket, key string) Change {
	return of(file).uploadStarted(bucket, key)
}

// Uploaded records that the object is stored and verified.
func Uploaded(file File, object Object) Change {
	c := of(file).uploaded(object)
	c.Set.Error = noFailure()
	return c
}

func (c Change) uploaded(object Object) Change {
	c.To = StatusUploaded
	c.Set.ETag, c.Set.Checksum = &object.ETag, &object.Checksum
	return c.with(EventUploaded, object.Key, map[string]any{"bucket": object.Bucket, "key": object.Key, "etag": object.ETag})
}

// Transferred records in one change that the bytes were moved from the server into
// the object. It equals Downloaded, Verified, UploadStarted and Uploaded.
func Transferred(file File, fetched Fetched, source string, object Object) Change {
	algo := hashAlgo
	c := of(file).
		with(EventDownloaded, fetched.SHA256, fetched.details()).
		verified(fetched.SHA256, source).
		uploadStarted(object.Bucket, object.Key).
		uploaded(object)
	c.Set.Hash, c.Set.HashAlgo, c.Set.Error = &fetched.SHA256, &algo, noFailure()
	return c
}

// Completed records that the broker has confirmed the notification. It releases
// the file's slot unless an after-ingest action follows, which uses the server.
func Completed(file File, receipt Receipt, sourceAction bool) Change {
	c := of(file).with(EventNotified, receipt.MessageID, map[string]any{"queue": receipt.Queue, "message_id": receipt.MessageID})
	c.To, c.FreeSlot, c.Set.Error = StatusCompleted, !sourceAction, noFailure()
	return c
}

// Renotified records that an operator had the notification of a completed file
// published again.
func Renotified(file File, receipt Receipt, action OperatorAction) Change {
	c := of(file).with(EventOperatorAction, action.Key, action.by(map[string]any{"queue": receipt.Queue, "message_id": receipt.MessageID}))
	c.Set.Error = noFailure()
	return c
}

// SourceDone records the after-ingest action and releases the slot. details
// contain "action" and, where they apply, "moved_to" and "found". left is the
// reason why the source or a companion is still on the server; empty if neither is.
func SourceDone(file File, left string, details map[string]any) Change {
	key := ""
	if left != "" {
		key = "left" // a later success is another event
	}
	c := of(file).with(EventSourceDone, key, details)
	c.To, c.FreeSlot, c.Set.SourceLeft = file.Status, true, &left
	_, moved := details["moved_to"]
	found, kept := details["found"]
	c.Set.SourceGone = moved || found == FoundGone || !kept && details["action"] == string(AfterDelete)
	return c
}

// FoundGone is the detail "found" of SourceDone for a source that was already gone.
const FoundGone = "gone already"

// SourceFailed records that the after-ingest action failed permanently. The status
// stays completed, because the object is safe.
func SourceFailed(file File, failure Failure) Change {
	c := of(file).with(EventError, string(failure.Step), failure.details())
	c.FreeSlot, c.Set.SourceLeft = true, &failure.Message
	return c
}

// SourceLeft records the reason why the source is still on the server.
func SourceLeft(file File, why string) Change {
	c := of(file)
	c.FreeSlot, c.Set.SourceLeft = true, &why
	return c
}

// TimeShifted records a new modification time of a version that is identified
// without its time.
func TimeShifted(file File, to time.Time) Change {
	c := of(file)
	c.Set.ShownTime = &to
	return c
}

func (f Failure) details() map[string]any {
	return map[string]any{"step": f.Step, "kind": f.Kind, "message": f.Message}
}

// RetryScheduled records why a step is retried.
func RetryScheduled(file File, failure Failure, attempt int32) Change {
	details := failure.details()
	details["attempt"] = attempt
	c := of(file).with(EventRetryScheduled, string(failure.Step)+":"+string(failure.Kind), details)
	c.Set.Error = &failure
	return c
}

// Failed records that the file needs an operator, and releases its slot.
func Failed(file File, failure Failure) Change { return ended(file, StatusError, EventError, failure) }

// RemovedFromServer records that the version is no longer on the server; status is
// StatusVanished or StatusSuperseded.
func RemovedFromServer(file File, status Status, failure Failure) Change {
	event := EventVanished
	if status == StatusSuperseded {
		event = EventSuperseded
	}
	return ended(file, status, event, failure)
}

func ended(file File, to Status, event EventType, failure Failure) Change {
	c := of(file).with(event, "", failure.details())
	c.To, c.FreeSlot, c.Set.Error = to, true, &failure
	return c
}

// VanishedWhileSettling records that a file was removed from the server before it
// settled, or after it failed with KindUnsettled.
func VanishedWhileSettling(file File) Change {
	failure := Failure{Step: StepDiscover, Kind: KindNotFound, Message: "gone before it was settled"}
	c := Change{FileUUID: file.UUID}.with(EventVanished, "", failure.details())
	c.To, c.Set.Error = StatusVanished, &failure
	return c
}

// ExcludedBySettings records that changed server settings exclude a file that had not
// settled. Like a vanished file, it is discovered again when the settings include
// it.
func ExcludedBySettings(file File) Change {
	failure := Failure{Step: StepDiscover, Kind: KindNotFound, Message: "excluded by changed server settings: root folder, patterns, depth or names of files in progress"}
	c := Change{FileUUID: file.UUID}.with(EventVanished, "", failure.details())
	c.To, c.Set.Error = StatusVanished, &failure
	return c
}

// Action is the name of an operator action on a file, the same in ledger, workflows, API and
// command line.
type Action string

// The operator actions on a file.
const (
	// ActionRetry and ActionSkip are for failed files, and ActionSkip also for files that
	// have not started.
	ActionRetry Action = "retry"
	ActionSkip  Action = "skip"
	// ActionRenotify publishes the notification of a completed file again, or of a file
	// that failed to publish it.
	ActionRenotify Action = "renotify"
	// ActionReprocess ingests a completed file again because its object is lost.
	ActionReprocess Action = "reprocess"
)

// Valid reports whether the action is one of the above.
func (a Action) Valid() bool {
	return slices.Contains([]Action{ActionRetry, ActionSkip, ActionRenotify, ActionReprocess}, a)
}

// OperatorAction is an action of an operator on a file.
type OperatorAction struct {
	Action Action
	// From is the step to retry from; only used by ActionRetry.
	From Step
	// Actor and Reason are recorded in the ledger.
	Actor, Reason string
	// Key identifies the action. It is recorded once.
	Key string
	// Entry is the key of the action's entry in the audit log; empty for an action
	// sent directly to Temporal.
	Entry string
	// Verified reports whether the entry exists, or the action is stevedore's own.
	Verified bool
}

// Unverified is the actor in the audit log for actions sent directly to Temporal.
// Their stated actor is not authenticated.
const Unverified = "unverified"

// Details returns the details of the event.
func (a OperatorAction) Details() map[string]any { return a.by(map[string]any{"from": a.From}) }

// by adds the actor to the details of an event.
func (a OperatorAction) by(details map[string]any) map[string]any {
	details["action"], details["actor"], details["reason"], details["verified"] = a.Action, a.Actor, a.Reason, a.Verified
	if a.Entry != "" {
		details["entry"] = a.Entry
	}
	return details
}

// Reprocessed returns the first event of a file that is ingested again.
func Reprocessed(action OperatorAction) Event {
	return Event{Type: EventOperatorAction, Key: action.Key, Details: action.by(map[string]any{})}
}

// OperatorActed records an operator action and sets the resulting status.
func OperatorActed(fileUUID string, action OperatorAction) Change {
	c := Change{FileUUID: fileUUID}.with(EventOperatorAction, action.Key, action.Details())
	c.To, c.NewRound, c.FreeSlot, c.Set.Error = StatusSkipped, true, true, noFailure()
	if action.Action != ActionSkip {
		c.To = StatusReady
		if info, ok := action.From.Info(); ok {
			c.To = info.Entry
		}
	}
	return c
}

// Requeued records that the file is ready again and waits for a slot. If slot is
// not 0, only that slot is released.
func Requeued(file File, slot int64, reason, key string) Change {
	c := of(file).with(EventRequeued, key, map[string]any{"reason": reason})
	c.To, c.NewRound, c.Slot, c.FreeSlot = StatusReady, true, slot, true
	c.Set.Error = noFailure()
	return c
}

// Deferred records that the file could not be fetched and is deferred: it is ready
// again, but not before File.NotBefore. Its slot is released. attempts is the
// number of failed attempts.
func Deferred(file File, failure Failure, attempts int32, slot int64, key string) Change {
	details := failure.details()
	details["attempts"] = attempts
	c := of(file).with(EventDeferred, key, details)
	c.To, c.NewRound, c.Defer, c.Slot, c.FreeSlot = StatusReady, true, true, slot, true
	c.Set.Error = &failure
	return c
}
