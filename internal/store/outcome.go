package store

import (
	"slices"

	"stevedore/internal/ingest"
)

// lockedFile is the part of a row that determines whether a change is allowed.
type lockedFile struct {
	id     int64
	server string
	status ingest.Status
	fence  int64
	round  int
	// slot is the number of the file's slot, 0 for none. It is read only for changes that require a
	// slot.
	slot int64
}

// outcome is the decision on a request.
type outcome struct {
	request *request
	// err is the reason for a refusal; then nothing is written.
	err error
	// change and facts are written under the fence and round of row. Both are empty if only the
	// fence is raised.
	row    lockedFile
	change ingest.Change
	facts  facts
}

// evaluate decides the request for the locked row. recorded reports whether the ledger already
// has the round that the change begins.
func evaluate(r *request, row lockedFile, recorded bool) outcome {
	o := outcome{request: r, row: row}
	change := r.change
	if r.take {
		change.Fence = 0
		o.row.fence++
	}
	applies := !recorded && (!r.take || len(change.From) == 0 || slices.Contains(change.From, row.status))
	switch {
	case r.take && lacksSlot(row, change):
		o.err = errNoSlot(r.id, change.Slot)
	case applies:
		o.err = refusal(r.id, row, change)
	}
	if applies && o.err == nil {
		o.change, o.facts = change, r.facts
	}
	if o.change.NewRound {
		o.row.round++
	}
	return o
}

// refusal returns the reason why the change is not allowed, or nil.
func refusal(fileUUID string, row lockedFile, change ingest.Change) error {
	switch {
	case change.Fence != 0 && change.Fence != row.fence:
		return errFenced(fileUUID, row.fence, change.Fence)
	case lacksSlot(row, change):
		return errNoSlot(fileUUID, change.Slot)
	case change.To != "" && !row.status.CanBecome(change.To):
		return ingest.Errorf(ingest.KindConflict, "file %s is %s and cannot become %s", fileUUID, row.status, change.To)
	}
	return nil
}

// lacksSlot reports whether the change requires a slot that the file does not hold.
func lacksSlot(row lockedFile, change ingest.Change) bool {
	return needsSlot(change) && change.Slot != row.slot
}

// needsSlot reports whether the change requires a slot.
func needsSlot(change ingest.Change) bool { return change.Slot != 0 && !change.FreeSlot }

// updates reports whether the row in files is written. Events and slots alone do not change it,
// nor updated_at.
func (o outcome) updates() bool {
	return o.err == nil && (o.request.take || o.change.To != "" || o.change.NewRound || o.change.Set != (ingest.Columns{}))
}

// gotBytes reports whether the change records a complete read, which ends a series of
// deferrals.
func (o outcome) gotBytes() bool {
	return o.change.To == ingest.StatusDownloaded || o.change.To == ingest.StatusUploaded
}

func errFenced(fileUUID string, current, fence int64) error {
	return ingest.Errorf(ingest.KindFenced, "file %s was claimed by attempt %d: attempt %d must stop", fileUUID, current, fence)
}

func errNoSlot(fileUUID string, slot int64) error {
	return ingest.Errorf(ingest.KindNoSlot, "file %s does not hold slot %d: it waits for another slot", fileUUID, slot)
}
