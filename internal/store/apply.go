package store

import (
	"context"
	"fmt"

	"stevedore/internal/ingest"
)

// Claim raises the file's fence and returns the file. Writers holding an older
// fence are rejected from then on.
func (s *Store) Claim(ctx context.Context, fileUUID string) (ingest.File, error) {
	return s.Take(ctx, ingest.Change{FileUUID: fileUUID})
}

// Take raises the file's fence and, in the same transaction, applies the change
// under the new fence if the file is in one of the statuses of change.From; an
// empty From accepts every status, change.Fence is ignored. It returns the file
// after the change. Errors are those of Apply; then the fence stays the same.
func (s *Store) Take(ctx context.Context, change ingest.Change) (ingest.File, error) {
	return s.record(ctx, change, true)
}

// Apply commits a change with its events, all or nothing. It returns
// KindFenced when a newer claim exists, KindNoSlot when the file does not hold
// the slot of the change, KindConflict when the status may not change so, and
// KindMissing when there is no such file. Applying the same change twice is the
// same as once: events are facts of their round, and a change that begins a new
// round is recognized by its first event's key.
func (s *Store) Apply(ctx context.Context, change ingest.Change) error {
	_, err := s.record(ctx, change, false)
	return err
}

// record has the change committed together with those of concurrent callers. A
// caller whose context ends stops waiting; its change may still be committed.
func (s *Store) record(ctx context.Context, change ingest.Change, take bool) (ingest.File, error) {
	r, err := newRequest(ctx, change, take)
	if err != nil {
		return ingest.File{}, err
	}
	if err := s.submit(r); err != nil {
		return ingest.File{}, err
	}
	select {
	case <-r.done:
		return r.file, r.err
	case <-ctx.Done():
		return ingest.File{}, r.ended()
	}
}

// request is a change that waits to be committed.
type request struct {
	// ctx is the caller's: a request whose caller has left is dropped.
	ctx    context.Context
	id     string
	change ingest.Change
	facts  facts
	// take raises the fence and returns the file.
	take bool

	// done is closed when file and err are set.
	done chan struct{}
	file ingest.File
	err  error
}

func newRequest(ctx context.Context, change ingest.Change, take bool) (*request, error) {
	id, err := validUUID("file with uuid", change.FileUUID)
	if err != nil {
		return nil, err
	}
	if change.NewRound && (len(change.Events) == 0 || change.Events[0].Key == "") {
		return nil, ingest.Errorf(ingest.KindInvalid, "a change that begins a new round needs an event with a key: without it a repetition cannot be recognized")
	}
	facts, err := newFacts(change.Events)
	if err != nil {
		return nil, ingest.Wrap(ingest.KindInvalid, err, "change of file %s", id)
	}
	return &request{ctx: ctx, id: id, change: change, facts: facts, take: take, done: make(chan struct{})}, nil
}

// facts are events as arguments, one list per column.
type facts struct {
	types, keys, details []string
}

func newFacts(events []ingest.Event) (facts, error) {
	var f facts
	for _, event := range events {
		details, err := cleanDetails(event.Details)
		if err != nil {
			return facts{}, fmt.Errorf("event %s: %w", event.Type, err)
		}
		f.types = append(f.types, string(event.Type))
		f.keys = append(f.keys, cleanKey(event.Key))
		f.details = append(f.details, details)
	}
	return f, nil
}
