package api

import (
	"context"
	"fmt"
	"io"
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

// endless has always more to tell.
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

// TestWhoDoesNotReadIsDropped: a stream that nobody reads holds its goroutine and its
// place among the streams for a bounded time.
func TestWhoDoesNotReadIsDropped(t *testing.T) {
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
		t.Fatal("the stream goes on though nobody reads")
	}
}

// TestEveryRequestHasAnEnd but streams.
func TestEveryRequestHasAnEnd(t *testing.T) {
	t.Parallel()
	var ends map[string]bool
	handler := withDeadline(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, has := r.Context().Deadline()
		ends[r.URL.Path] = has
	}), time.Minute)
	ends = map[string]bool{}
	for _, path := range []string{"/", "/files", "/api/v1/files", "/files/scan", streamPath} {
		request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, path, nil)
		require.NoError(t, err)
		handler.ServeHTTP(nil, request)
	}
	require.Equal(t, map[string]bool{"/": true, "/files": true, "/api/v1/files": true, "/files/scan": true, streamPath: false}, ends)
}

// TestTestsOfServersHaveTheirTime: a log-in may take longer than any other request,
// and its answer still arrives.
func TestTestsOfServersHaveTheirTime(t *testing.T) {
	t.Parallel()
	const short = 50 * time.Millisecond
	server := httptest.NewUnstartedServer(withDeadline(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		end, _ := r.Context().Deadline()
		select {
		case <-r.Context().Done():
		case <-time.After(4 * short): // a slow log-in
		}
		_, _ = fmt.Fprint(w, time.Until(end) > operations.MaxTest/2)
	}), short))
	server.Config.WriteTimeout = 2 * short
	server.Start()
	t.Cleanup(server.Close)
	for path, want := range map[string]string{
		"/api/v1/servers/acme:test": "true", "/api/v1/servers/acme:approve-host-key": "true",
		"/servers/acme/test": "true", "/servers/acme/approve": "true",
		"/api/v1/servers/acme:pause": "", "/servers/acme/pause": "",
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+path, nil)
		require.NoError(t, err)
		answer, err := server.Client().Do(request)
		if want == "" {
			if err == nil {
				body, _ := io.ReadAll(answer.Body)
				require.NoError(t, answer.Body.Close())
				require.NotEqual(t, "true", string(body), path)
			}
			continue
		}
		require.NoError(t, err, path)
		body, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		require.Equal(t, want, string(body), path)
	}
}
