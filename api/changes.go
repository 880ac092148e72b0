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
	// changesEvery is the interval at which the ledger is read for new events.
	changesEvery = time.Second
	// changesQuiet is the silence after which a comment is sent as a keep-alive.
	changesQuiet = 15 * time.Second
	changesPage  = 500
	// changesPatience bounds the time in which a client reads a page; it can reconnect.
	changesPatience = 20 * time.Second
	// changesRecheck is the interval at which a stream checks its token again.
	changesRecheck = 15 * time.Second
)

// ListChanges streams the events of files.
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

// begin returns a stream with its first page. Errors here still become a status.
func (h handlers) begin(ctx context.Context, req openapi.ListChangesRequestObject) (stream changes, err error) {
	stream = changes{ctx: ctx, events: h.Operations, stopping: h.Stopping, now: h.Now, open: h.Metrics.Stream, patience: changesPatience}
	if req.Params.LastEventID != nil {
		stream.last = *req.Params.LastEventID
	} else if stream.last, err = h.Operations.LastEventID(ctx); err != nil {
		return stream, err
	}
	stream.first, err = h.Operations.EventsAfter(ctx, stream.last, changesPage)
	return stream, err
}

// changes is the response to ListChanges.
type changes struct {
	ctx      context.Context //nolint:containedctx // of the request: the generated Visit method has none
	events   operations.Events
	stopping <-chan struct{}
	last     int64
	first    []ingest.LedgerEvent
	now      func() time.Time
	// closed is called when the stream has ended.
	closed func()
	// open counts the stream as open until closed is called.
	open func() (closed func())
	// patience bounds the time in which a client reads a page.
	patience time.Duration
}

// VisitListChangesResponse writes events until the client leaves, the service stops or the
// credentials become invalid. An error of the ledger ends the stream: clients reconnect
// with the last id they received.
func (s changes) VisitListChangesResponse(w http.ResponseWriter) error {
	defer s.closed()
	defer s.open()()
	control := http.NewResponseController(w)
	// Each page has its own deadline, so that clients that do not read are disconnected.
	// Writers without deadlines return an error, which is ignored.
	patience := func() { _ = control.SetWriteDeadline(time.Now().Add(s.patience)) }
	patience()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would buffer events
	w.WriteHeader(http.StatusOK)
	if _, err := fmt.Fprint(w, "retry: 2000\n\n"); err != nil {
		return nil //nolint:nilerr // the client has left, and the response has started
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
				return nil //nolint:nilerr // the response has started: the client gets the error when it reconnects
			}
			checked = s.now()
		}
		var err error
		if events, err = s.events.EventsAfter(s.ctx, s.last, changesPage); err != nil {
			return nil //nolint:nilerr // the response has started: the client reconnects
		}
	}
}

func writeChange(w http.ResponseWriter, event ingest.LedgerEvent) error {
	data, err := json.Marshal(openapi.FromChange(event)) // on one line, as the format requires
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "id: %d\nevent: %s\ndata: %s\n\n", event.ID, ingest.SafeName(string(event.Type)), data)
	return err
}
