package store

import (
	"slices"

	"stevedore/internal/ingest"
)

// lockedFile is the part of a row that decides whether a change may be made.
type lockedFile struct {
	id     int64
	server string
	status ingest.Status
	fence  int64
	round  int
	// slot is the number of the file's slot, 0 for none; it is read only for
	// changes that require one.
	slot int64
}

// outcome is the verdict on a request.
type outcome struct {
	request *request
	// err is why the request is refused; then nothing is written.
	err error
	// change and facts are what is written, under the fence and round of row. Both
	// are empty when there is nothing to write but a raised fence.
	row    lockedFile
	change ingest.Change
	facts  facts
}

// judge returns the verdict on the request for the locked row. recorded reports
// whether the change begins a round that the ledger has already.
func judge(r *request, row lockedFile, recorded bool) outcome {
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

// refusal returns why the change must not be made; nil when it may.
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

// updates reports whether the row of files is written. Events and slots alone
// leave it, and with it updated_at.
func (o outcome) updates() bool {
	return o.err == nil && (o.request.take || o.change.To != "" || o.change.NewRound || o.change.Set != (ingest.Columns{}))
}

// gotBytes reports whether the change records that all bytes were read: that ends
// a series of deferrals.
func (o outcome) gotBytes() bool {
	return o.change.To == ingest.StatusDownloaded || o.change.To == ingest.StatusUploaded
}

func errFenced(fileUUID string, current, fence int64) error {
	return ingest.Errorf(ingest.KindFenced, "file %s belongs to attempt %d now: attempt %d changes nothing more", fileUUID, current, fence)
}

func errNoSlot(fileUUID string, slot int64) error {
	return ingest.Errorf(ingest.KindNoSlot, "file %s does not hold slot %d: it must wait for another slot", fileUUID, slot)
}
