package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"stevedore/api/openapi"
	"stevedore/api/web"
	"stevedore/internal/access"
	"stevedore/internal/ingest"
	"stevedore/internal/operations"
)

const (
	// changesEvery is how often the ledger is asked for what is new.
	changesEvery = time.Second
	// changesQuiet is how long a stream is silent before a comment shows that
	// it lives.
	changesQuiet = 15 * time.Second
	changesPage  = 500
	// changesPatience is how long a client may take to read a page; it comes again.
	changesPatience = 20 * time.Second
	// changesRecheck is how often a stream looks whether its token is valid still.
	changesRecheck = 15 * time.Second
)

// ListChanges streams what happens to files.
func (h handlers) ListChanges(ctx context.Context, req openapi.ListChangesRequestObject) (openapi.ListChangesResponseObject, error) {
	closed, ok := h.guard.OpenStream(access.From(ctx).Name)
	if !ok {
		return nil, web.Refuse(http.StatusTooManyRequests, fmt.Sprintf("%d streams are open with this token: close some", access.MaxStreams))
	}
	stream, err := h.begin(ctx, req)
	if err != nil {
		closed()
		return nil, err
	}
	stream.closed = closed
	return stream, nil
}

// begin finds out where a stream begins. What is wrong now can still be said
// with a status.
func (h handlers) begin(ctx context.Context, req openapi.ListChangesRequestObject) (stream changes, err error) {
	stream = changes{ctx: ctx, events: h.ops, stopping: h.stopping, now: h.now, open: h.metrics.Stream, patience: changesPatience}
	if req.Params.LastEventID != nil {
		stream.last = *req.Params.LastEventID
	} else if stream.last, err = h.ops.LastEventID(ctx); err != nil {
		return stream, err
	}
	stream.first, err = h.ops.EventsAfter(ctx, stream.last, changesPage)
	return stream, err
}

// changes is the answer to ListChanges.
type changes struct {
	ctx      context.Context
	events   operations.Events
	stopping <-chan struct{}
	last     int64
	first    []ingest.LedgerEvent
	now      func() time.Time
	// closed is called when the stream has ended.
	closed func()
	// open counts the stream as open until closed is called.
	open func() (closed func())
	// patience is how long a client may take to read a page.
	patience time.Duration
}

// VisitListChangesResponse writes until the client or the service goes, or the
// credentials are not valid any more. When the ledger does not answer it ends
// the stream: clients come again with the last id they have.
func (s changes) VisitListChangesResponse(w http.ResponseWriter) error {
	defer s.closed()
	defer s.open()()
	control := http.NewResponseController(w)
	// Not all writers have deadlines; where they have, one that does not read is
	// dropped: each page has a deadline of its own.
	patience := func() { _ = control.SetWriteDeadline(time.Now().Add(s.patience)) }
	patience()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would keep events back
	w.WriteHeader(http.StatusOK)
	if _, err := fmt.Fprint(w, "retry: 2000\n\n"); err != nil {
		return nil //nolint:nilerr // the client has gone, and the answer has begun
	}
	tick := time.NewTicker(changesEvery)
	defer tick.Stop()
	events, spoken, checked := s.first, time.Now(), s.now()
	for {
		patience()
		if len(events) == 0 && time.Since(spoken) > changesQuiet {
			events, spoken = nil, time.Now()
			if _, err := fmt.Fprint(w, ": nothing new\n\n"); err != nil {
				return nil //nolint:nilerr // as above
			}
		}
		for _, event := range events {
			if err := writeChange(w, event); err != nil {
				return nil //nolint:nilerr // as above
			}
			s.last, spoken = event.ID, time.Now()
		}
		if err := control.Flush(); err != nil {
			return nil //nolint:nilerr // as above
		}
		if len(events) < changesPage {
			select {
			case <-tick.C:
			case <-s.ctx.Done():
				return nil
			case <-s.stopping:
				return nil
			}
		}
		if s.now().Sub(checked) >= changesRecheck {
			if err := stillAllowed(s.ctx); err != nil {
				return nil //nolint:nilerr // the answer has begun: the client learns it when it comes again
			}
			checked = s.now()
		}
		var err error
		if events, err = s.events.EventsAfter(s.ctx, s.last, changesPage); err != nil {
			return nil //nolint:nilerr // the answer has begun: the client comes again
		}
	}
}

func writeChange(w http.ResponseWriter, event ingest.LedgerEvent) error {
	data, err := json.Marshal(openapi.FromChange(event)) // on one line, as the format asks
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "id: %d\nevent: %s\ndata: %s\n\n", event.ID, ingest.SafeName(string(event.Type)), data)
	return err
}
