package activities

import (
	"context"

	"stevedore/internal/ingest"
)

// RequeueFileInput names a file that becomes ready again and waits for another slot.
type RequeueFileInput struct {
	FileUUID string `json:"file_uuid"`
	// Deferred, when set, is why the file could not be fetched: it is deferred. Without
	// it the file only waits for a slot.
	Deferred *ingest.Failure `json:"deferred,omitempty"`
	// Slot is the slot with which the file was started; 0 if it has none.
	Slot int64 `json:"slot,omitempty"`
	// Attempts is the number of attempts, for the ledger.
	Attempts int32 `json:"attempts,omitempty"`
	// Key identifies the change, so that it is recorded once.
	Key string `json:"key"`
}

// RequeueFile makes a file ready again, so that its server's dispatcher starts it when a
// slot is free. It wakes the scan unless the file is deferred. A file whose object is
// stored needs no slot and stays unchanged.
func (a *Activities) RequeueFile(ctx context.Context, in RequeueFileInput) (Outcome, error) {
	outcome, err := a.requeueFile(ctx, in)
	return outcome, applicationError(err)
}

func (a *Activities) requeueFile(ctx context.Context, in RequeueFileInput) (Outcome, error) {
	file, err := a.Ledger.Claim(ctx, in.FileUUID)
	if err != nil || file.Status.Terminal() || file.Status == ingest.StatusUploaded {
		return Outcome{Status: file.Status}, err
	}
	server, err := a.Ledger.Server(ctx, file.ServerUUID)
	if err != nil {
		return Outcome{}, err
	}
	if in.Deferred != nil || file.Status != ingest.StatusReady {
		if err := a.apply(ctx, file, in.change(server, file)); err != nil {
			return Outcome{}, err
		}
	}
	outcome := Outcome{Status: ingest.StatusReady}
	if in.Deferred != nil {
		return outcome, nil
	}
	return outcome, a.Workflows.Wake(ctx, server)
}

func (in RequeueFileInput) change(server ingest.Server, file ingest.File) ingest.Change {
	if in.Deferred == nil {
		return ingest.Requeued(file, in.Slot, "it waits for a slot of its server", in.Key)
	}
	change := ingest.Deferred(file, *in.Deferred, in.Attempts, in.Slot, in.Key)
	if in.canChangeHost(server, file) {
		nowhere := ""
		change.Set.StagedOn = &nowhere
	}
	return change
}

// deferralsBeforeMove is the number of consecutive deferrals, over about twenty minutes,
// after which another worker may continue the file.
const deferralsBeforeMove = 7

// canChangeHost reports whether another worker may continue the file: it may have room,
// or reach the server. The bytes staged here are fetched again then. So a completely
// staged file stays, and so does one of a server that provides each file only once.
func (in RequeueFileInput) canChangeHost(server ingest.Server, file ingest.File) bool {
	return file.Hash == "" && !server.ReadOnce && (in.Deferred.Kind.Staging() || file.Deferrals >= deferralsBeforeMove)
}
