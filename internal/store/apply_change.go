package store

import (
	"context"
	"fmt"

	"stevedore/internal/ingest"
)

// Claim raises the file's fence and returns the file. Writers holding an older
// fence are rejected from then on.
func (s *Store) Claim(ctx context.Context, fileUUID string) (ingest.File, error) {
	return s.ClaimAndApply(ctx, ingest.Change{FileUUID: fileUUID})
}

// ClaimAndApply claims the file, and in the same transaction applies the change under the new fence if
// the file has one of the statuses in change.From. An empty From accepts every status;
// change.Fence is ignored. ClaimAndApply returns the file after the change. Errors are those of Apply;
// the fence is not raised on error.
func (s *Store) ClaimAndApply(ctx context.Context, change ingest.Change) (ingest.File, error) {
	return s.record(ctx, change, true)
}

// Apply commits a change and its events atomically. It returns KindFenced when a newer claim
// exists, KindNoSlot when the file does not hold the change's slot, KindConflict when the
// status transition is not allowed, and KindMissing when the file does not exist.
//
// Apply is idempotent: an event is unique within its round, and a change that begins a round
// is recognized by the key of its first event.
func (s *Store) Apply(ctx context.Context, change ingest.Change) error {
	_, err := s.record(ctx, change, false)
	return err
}

// record commits the change together with those of concurrent callers. When ctx ends, record
// stops waiting, but the change may still be committed.
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

// request is a pending change.
type request struct {
	// ctx is the caller's context. A request is dropped once it ends.
	ctx    context.Context //nolint:containedctx // the committer serves many callers
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
		return nil, ingest.Errorf(ingest.KindInvalid, "a change that begins a new round needs an event with a key, which identifies repetitions")
	}
	facts, err := newFacts(change.Events)
	if err != nil {
		return nil, ingest.Wrap(ingest.KindInvalid, err, "change of file %s", id)
	}
	return &request{ctx: ctx, id: id, change: change, facts: facts, take: take, done: make(chan struct{})}, nil
}

// facts are events in query arguments, one list per column.
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
