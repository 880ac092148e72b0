package api

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/operations"
)

// endless always returns another page of events.
type endless struct{ operations.Events }

func (endless) EventsAfter(_ context.Context, after int64, limit int) (events []ingest.LedgerEvent, err error) {
	for i := range limit {
		event := ingest.LedgerEvent{}
		event.ID, event.Type = after+int64(i)+1, ingest.EventDiscovered
		event.Details = map[string]any{"path": strings.Repeat("x", 4096)}
		events = append(events, event)
	}
	return events, nil
}

// TestSlowReadersAreDisconnected: a stream whose client does not read holds its goroutine and
// its slot among the streams for a bounded time.
func TestSlowReadersAreDisconnected(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	dropped := make(chan struct{})
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		stream := changes{
			ctx: r.Context(), events: endless{}, now: time.Now, closed: func() { close(dropped) }, open: func() func() { return func() {} },
			patience: 50 * time.Millisecond,
		}
		_ = stream.VisitListChangesResponse(w)
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	client, err := net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	defer client.Close()
	_, err = fmt.Fprint(client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	select {
	case <-dropped:
	case <-time.After(time.Minute):
		t.Fatal("the stream continues although the client does not read")
	}
}

// TestEveryRequestHasATimeLimit: only streams have none, and a server test has a longer
// one.
func TestEveryRequestHasATimeLimit(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]time.Duration{
		"/api/v1/files": handlerTimeout, "/files/scan": handlerTimeout, "/api/v1/servers/acme:pause": handlerTimeout, streamPath: 0,
		"/api/v1/servers:test": operations.MaxTest, "/api/v1/servers/acme:test": operations.MaxTest, "/api/v1/servers/acme:test-edit": operations.MaxTest,
		"/api/v1/servers/acme:approve-host-key": operations.MaxTest,
	} {
		limit, _ := timeout(httptest.NewRequest(http.MethodPost, path, nil))
		require.Equal(t, want, limit, path)
	}
}
