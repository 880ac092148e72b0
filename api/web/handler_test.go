package web

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func serving(limit time.Duration, handle http.HandlerFunc) http.Handler {
	return Handler(Config{Log: slog.New(slog.DiscardHandler)}, func(*http.Request) Site {
		return Site{
			Handler: handle, Timeout: func(*http.Request) (time.Duration, error) { return limit, nil },
			Fail: func(w http.ResponseWriter, _ *http.Request, err error) { http.Error(w, err.Error(), Status(err)) },
		}
	})
}

// TestALongRequestIsAnswered: its response arrives after the server's write timeout.
func TestALongRequestIsAnswered(t *testing.T) {
	t.Parallel()
	const short = 50 * time.Millisecond
	for limit, want := range map[time.Duration]bool{longRequest * 2: true, longRequest: false} {
		server := httptest.NewUnstartedServer(serving(limit, func(w http.ResponseWriter, _ *http.Request) {
			<-time.After(3 * short)
			_, _ = fmt.Fprint(w, "done")
		}))
		server.Config.WriteTimeout = short
		server.Start()
		t.Cleanup(server.Close)
		answer, err := server.Client().Get(server.URL)
		require.Equal(t, want, err == nil, "%s: %v", limit, err)
		if err == nil {
			require.NoError(t, answer.Body.Close())
		}
	}
}

// TestAbortedResponsesAreIncomplete: the client of a handler that aborts gets no complete
// response.
func TestAbortedResponsesAreIncomplete(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(serving(0, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, "first page")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(server.Close)
	answer, err := server.Client().Get(server.URL)
	require.NoError(t, err)
	_, err = io.ReadAll(answer.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.NoError(t, answer.Body.Close())
}

func TestRequestsHaveATimeLimit(t *testing.T) {
	t.Parallel()
	for limit, want := range map[time.Duration]bool{0: false, time.Minute: true} {
		var limited bool
		serving(limit, func(_ http.ResponseWriter, r *http.Request) { _, limited = r.Context().Deadline() }).
			ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
		require.Equal(t, want, limited)
	}
}

func TestForwardedAddressesOfTrustedProxiesCount(t *testing.T) {
	t.Parallel()
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for _, c := range []struct {
		peer, forwarded, want string
		proxies               []netip.Prefix
	}{
		{"10.0.0.1:1", "", "10.0.0.1", proxies},
		{"10.0.0.1:1", "192.0.2.7", "10.0.0.1", nil},
		{"10.0.0.1:1", "192.0.2.7", "192.0.2.7", proxies},
		{"10.0.0.1:1", "198.51.100.1, 192.0.2.7, 10.0.0.2", "192.0.2.7", proxies},
		{"10.0.0.1:1", "192.0.2.7, nonsense", "10.0.0.1", proxies},
		{"10.0.0.1:1", "10.0.0.3, 10.0.0.2", "10.0.0.3", proxies},
		{"192.0.2.9:1", "192.0.2.7", "192.0.2.9", proxies},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = c.peer
		if c.forwarded != "" {
			r.Header.Set("X-Forwarded-For", c.forwarded)
		}
		require.Equal(t, c.want, Address(withPeer(r, c.proxies)), c)
	}
}
