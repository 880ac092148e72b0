package activities

import (
	"context"

	"stevedore/internal/ingest"
)

// RequeueFileInput names a file that gives up its place and waits for another.
type RequeueFileInput struct {
	FileUUID string `json:"file_uuid"`
	// Deferred, when set, is why the file could not be fetched: it is not taken
	// up again for some time. Without it the file waits only for its turn.
	Deferred *ingest.Failure `json:"deferred,omitempty"`
	// Slot is the one that the file was started with; 0 when it has none any more.
	Slot int64 `json:"slot,omitempty"`
	// Attempts is how often it was tried, for the ledger.
	Attempts int32 `json:"attempts,omitempty"`
	// Key makes the wish unique, so that recording it twice is once.
	Key string `json:"key"`
}

// RequeueFile makes a file ready again, so that the scan of its server starts
// it when its place in the server's window comes. For a file that is not put
// off the scan is woken. One whose object is there needs no place, and stays as
// it is.
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

// stubborn is how often in a row a file is put off, which takes some twenty minutes,
// before another worker may try.
const deferralsBeforeMove = 7

// mayMove reports that another worker may take the file up: it may have the room
// that this one has not, or reach a server that this one does not. What was
// fetched here is then fetched again, so a file that is all here stays, and so
// does one that its server gives away only once.
func (in RequeueFileInput) canChangeHost(server ingest.Server, file ingest.File) bool {
	return file.Hash == "" && !server.ReadOnce && (in.Deferred.Kind.Staging() || file.Deferrals >= deferralsBeforeMove)
}
