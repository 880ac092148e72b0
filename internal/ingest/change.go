package ingest

import (
	"strconv"
	"time"
)

// The constructors below make every change that a file goes through. They are the
// only place that knows which status, columns, event and detail keys belong
// together; EventKeys documents the keys, and a test compares the two.

// EventKeys are the detail keys of each event type. Consumers of the ledger read
// them: keys are added, never renamed or removed.
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

// of returns an empty change of the file, as the holder of its fence makes it.
func of(file File) Change { return Change{FileUUID: file.UUID, Fence: file.Fence} }

// with returns the change with one more event.
func (c Change) with(event EventType, key string, details map[string]any) Change {
	c.Events = append(c.Events, Event{Type: event, Key: key, Details: details})
	return c
}

// noFailure clears the file's last failure.
func noFailure() *Failure { return &Failure{} }

// Started records that the bytes of a file are about to be read in the mode. With
// a slot other than 0 it is refused unless the file holds that slot. stagedOn is
// the id of the staging volume, empty where nothing is staged.
func Started(file File, mode Mode, slot int64, stagedOn string) Change {
	c := of(file).with(EventDownloadStarted, "", map[string]any{"server": file.ServerName})
	c.To, c.Slot = StatusDownloading, slot
	c.Set = Columns{Mode: &mode, StagedOn: &stagedOn}
	return c
}

// Resumed records the offset in bytes from which a copy continues. It is a change
// of its own because a large file may take hours from then on.
func Resumed(file File, offset int64) Change {
	return of(file).with(EventDownloadResumed, strconv.FormatInt(offset, 10), map[string]any{"offset": offset})
}

// Fetched is what is known of the bytes once all of them were read.
type Fetched struct {
	Mode Mode
	// Path is the local path in staged mode.
	Path string
	// Size in bytes; SHA256 in lower-case hex.
	Size   int64
	SHA256 string
	// Took is how long reading took.
	Took time.Duration
}

func (f Fetched) details() map[string]any {
	return map[string]any{
		"size_mb": float64(f.Size) / (1 << 20), "duration_sec": f.Took.Seconds(), "temp_path": f.Mode.TempPath(f.Path),
	}
}

// hashAlgo is the one algorithm of File.Hash.
const hashAlgo = "sha256"

// Downloaded records that all bytes are in staging on the host.
func Downloaded(file File, fetched Fetched, host string) Change {
	algo := hashAlgo
	c := of(file).with(EventDownloaded, fetched.SHA256, fetched.details())
	c.To = StatusDownloaded
	c.Set = Columns{Hash: &fetched.SHA256, HashAlgo: &algo, StagedOn: &host, Error: noFailure()}
	return c
}

// Adopted are the events of a file that the ledger has forgotten and that is staged
// whole: those that its row had before.
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

// Verified records that size and hash agree. Source is where the expected hash
// came from: "transfer", or the name of the partner's checksum file.
func Verified(file File, source string) Change {
	c := of(file).verified(file.Hash, source)
	c.To, c.Set = StatusVerified, Columns{Error: noFailure()}
	return c
}

func (c Change) verified(hash, source string) Change {
	return c.with(EventVerified, hash, map[string]any{"algo": hashAlgo, "hash": hash, "source": source})
}

// UploadStarted records where the object goes, before any byte of it does.
func UploadStarted(file File, bucket, key string) Change {
	c := of(file).uploadStarted(bucket, key)
	c.To = StatusUploading
	return c
}

func (c Change) uploadStarted(bucket, key string) Change {
	c.Set.Bucket, c.Set.ObjectKey = &bucket, &key
	return c.with(EventUploadStart, "", map[string]any{"target_bucket": bucket, "target_key": key})
}

// DirectUploadStarted records where the object goes while its bytes are still
// being read: the status stays downloading.
func DirectUploadStarted(file File, bucket, key string) Change {
	return of(file).uploadStarted(bucket, key)
}

// Uploaded records that the object is in the store and proven.
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

// Transferred records in one change what Downloaded, Verified, UploadStarted and
// Uploaded record in four: the bytes went from the server into the object.
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
// the file's slot unless an after-ingest action is to follow, which uses the
// server.
func Completed(file File, receipt Receipt, sourceAction bool) Change {
	c := of(file).with(EventNotified, receipt.MessageID, map[string]any{"queue": receipt.Queue, "message_id": receipt.MessageID})
	c.To, c.FreeSlot, c.Set.Error = StatusCompleted, !sourceAction, noFailure()
	return c
}

// Renotified records that a completed file was announced once more for an
// operator.
func Renotified(file File, receipt Receipt, action OperatorAction) Change {
	c := of(file).with(EventOperatorAction, action.Key, action.by(map[string]any{"queue": receipt.Queue, "message_id": receipt.MessageID}))
	c.Set.Error = noFailure()
	return c
}

// SourceDone records the after-ingest action and releases the slot. Details hold
// "action" and, where they apply, "moved_to" and "found"; left is what of the source
// is still there all the same, empty for nothing.
func SourceDone(file File, left string, details map[string]any) Change {
	key := ""
	if left != "" {
		key = "left" // and once more when it is done after all
	}
	c := of(file).with(EventSourceDone, key, details)
	c.To, c.FreeSlot, c.Set.SourceLeft = file.Status, true, &left
	_, moved := details["moved_to"]
	found, kept := details["found"]
	c.Set.SourceGone = left == "" && (moved || found == FoundGone || !kept && details["action"] == string(AfterDelete))
	return c
}

// FoundGone is what SourceDone tells as "found" where the source was gone already.
const FoundGone = "gone already"

// SourceFailed records that the after-ingest action failed permanently. The
// status stays: the file is safe.
func SourceFailed(file File, failure Failure) Change {
	c := of(file).with(EventError, string(failure.Step), failure.details())
	c.FreeSlot, c.Set.SourceLeft = true, &failure.Message
	return c
}

// SourceLeft records that the source is still where it was, and why.
func SourceLeft(file File, why string) Change {
	c := of(file)
	c.FreeSlot, c.Set.SourceLeft = true, &why
	return c
}

// TimeMoved records that the server shows another time of the file since it was
// read, where a new time alone is no new version.
func TimeMoved(file File, to time.Time) Change {
	c := of(file)
	c.Set.ShownTime = &to
	return c
}

func (f Failure) details() map[string]any {
	return map[string]any{"step": f.Step, "kind": f.Kind, "message": f.Message}
}

// RetryScheduled records why a step is tried again.
func RetryScheduled(file File, failure Failure, attempt int32) Change {
	details := failure.details()
	details["attempt"] = attempt
	c := of(file).with(EventRetryScheduled, string(failure.Step)+":"+string(failure.Kind), details)
	c.Set.Error = &failure
	return c
}

// Failed records that the file waits for an operator, and releases its slot.
func Failed(file File, failure Failure) Change { return ended(file, StatusError, EventError, failure) }

// Gone records that the version is not on the server any more: vanished or
// superseded.
func Gone(file File, status Status, failure Failure) Change {
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

// VanishedWhileSettling records that a file went away before it was settled, also one
// that was given up because it never did.
func VanishedWhileSettling(file File) Change {
	failure := Failure{Step: StepDiscover, Kind: KindNotFound, Message: "gone before it was settled"}
	c := Change{FileUUID: file.UUID}.with(EventVanished, "", failure.details())
	c.To = StatusVanished
	if file.Status == StatusError {
		c.Set.Error = &failure
	}
	return c
}

// LeftOut records that the server's settings leave a file out that was not settled
// yet. It is taken up again when they do not any more, as one that vanished is.
func LeftOut(file File) Change {
	failure := Failure{Step: StepDiscover, Kind: KindNotFound, Message: "the server's settings leave it out since they were changed: root folder, patterns, depth or names in progress"}
	c := Change{FileUUID: file.UUID}.with(EventVanished, "", failure.details())
	c.To, c.Set.Error = StatusVanished, &failure
	return c
}

// The actions of an operator on a file.
const (
	ActionRetry    = "retry"
	ActionSkip     = "skip"
	ActionRenotify = "renotify"
	// ActionReprocess ingests a completed file again whose object is lost.
	ActionReprocess = "reprocess"
)

// OperatorAction is an operator's action on a failed file.
type OperatorAction struct {
	// Action is one of ActionRetry to ActionReprocess.
	Action string
	// From is the step to retry from.
	From Step
	// Actor and Reason go to the ledger.
	Actor, Reason string
	// Key makes the action unique, so that recording it twice is once.
	Key string
	// Entry is the key of the audit log's entry about the action; empty for one that
	// did not come by the API or the command line.
	Entry string
	// Verified says that the entry was found, or that nobody but stevedore acted.
	Verified bool
}

// Unverified is the actor of the audit log for actions that reached Temporal by
// another way than the API and the command line. What they say of themselves is
// not checked.
const Unverified = "unverified"

// Details returns who did what, as the event has it.
func (a OperatorAction) Details() map[string]any { return a.by(map[string]any{"from": a.From}) }

// by returns who acted, for an event.
func (a OperatorAction) by(details map[string]any) map[string]any {
	details["action"], details["actor"], details["reason"], details["verified"] = a.Action, a.Actor, a.Reason, a.Verified
	if a.Entry != "" {
		details["entry"] = a.Entry
	}
	return details
}

// Reprocessed is the first event of a file that is ingested again.
func Reprocessed(action OperatorAction) Event {
	return Event{Type: EventOperatorAction, Key: action.Key, Details: action.by(map[string]any{})}
}

// Decided records an operator's action and sets the status that follows.
func Decided(fileUUID string, action OperatorAction) Change {
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

// Requeued records that the file is ready again and waits for a slot. Slot, when
// not 0, is the only one that is released.
func Requeued(file File, slot int64, reason, key string) Change {
	c := of(file).with(EventRequeued, key, map[string]any{"reason": reason})
	c.To, c.NewRound, c.Slot, c.FreeSlot = StatusReady, true, slot, true
	c.Set.Error = noFailure()
	return c
}

// Deferred records that the file could not be fetched: it is ready again, not
// before some time, and its slot is released.
func Deferred(file File, failure Failure, attempts int32, slot int64, key string) Change {
	details := failure.details()
	details["attempts"] = attempts
	c := of(file).with(EventDeferred, key, details)
	c.To, c.NewRound, c.Defer, c.Slot, c.FreeSlot = StatusReady, true, true, slot, true
	c.Set.Error = &failure
	return c
}

// SlotReleased releases the slot of a file that does not use its server any more.
func SlotReleased(file File) Change {
	c := of(file)
	c.FreeSlot = true
	return c
}
