package scale_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/api"
	"stevedore/internal/config"
	"stevedore/internal/test/sandbox"
	"stevedore/internal/wiring"
)

const (
	// lateAfter is the delay after which a server that is due counts as late, see
	// ingest.Server.
	lateAfter = 30 * time.Second
	// lateInterval is the interval of requests for late servers.
	lateInterval = 2 * time.Second
)

// lateness records the late servers that the API has shown while the schedule ran.
type lateness struct {
	f    *fleet
	api  *httptest.Server
	stop func()

	mu   sync.Mutex
	late map[string]bool // servers that were late in at least one request, by uuid
}

// watchLateness asks the API which servers are late until stop is called.
func (f *fleet) watchLateness(t *testing.T) *lateness {
	t.Helper()
	cfg, err := config.Load(config.Options{Environ: append(f.Env,
		"TEMPORAL_ADDRESS="+os.Getenv("TEMPORAL_ADDRESS"), "STEVEDORE_SCAN_INTERVAL="+f.size.interval.String())})
	require.NoError(t, err)
	log := slog.New(slog.DiscardHandler)
	parts, err := wiring.New(cfg, log, wiring.Options{TaskQueue: f.Queue})
	require.NoError(t, err)
	t.Cleanup(parts.Close)
	l := &lateness{f: f, late: map[string]bool{}}
	l.api = httptest.NewServer(api.NewHandler(api.Deps{Operations: parts.Operations(), Access: parts.Access(), Token: apiToken, Log: log}))
	t.Cleanup(l.api.Close)
	ended, stopping := make(chan struct{}), make(chan struct{})
	l.stop = sync.OnceFunc(func() {
		close(stopping)
		<-ended
	})
	t.Cleanup(l.stop)
	go func() {
		defer close(ended)
		for tick := time.Tick(lateInterval); ; {
			select {
			case <-stopping:
				return
			case <-tick:
				l.look(t)
			}
		}
	}()
	return l
}

// apiToken is the API's bootstrap token in this test.
const apiToken = "scale-test-token"

// look records the servers that the API's overview shows as late.
func (l *lateness) look(t *testing.T) {
	request, err := http.NewRequestWithContext(l.f.Context(t), http.MethodGet, l.api.URL+"/api/v1/overview", nil)
	if !assert.NoError(t, err) {
		return
	}
	request.Header.Set("Authorization", "Bearer "+apiToken)
	response, err := http.DefaultClient.Do(request)
	if !assert.NoError(t, err) {
		return
	}
	defer func() { _ = response.Body.Close() }()
	var overview struct {
		Servers []struct {
			UUID string `json:"server_uuid"`
			Late bool   `json:"late"`
		} `json:"servers"`
	}
	assert.NoError(t, json.NewDecoder(response.Body).Decode(&overview))
	assert.Len(t, overview.Servers, l.f.size.servers)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, server := range overview.Servers {
		l.late[server.UUID] = l.late[server.UUID] || server.Late
	}
}

// count returns the number of servers that were late in at least one request.
func (l *lateness) count(servers map[string]bool) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id := range servers {
		if l.late[id] {
			n++
		}
	}
	return n
}

// require checks that each silent server has missed a tick and was shown as late, and
// that no healthy one ever was. It ends the polling first, because without the schedule
// all servers are late.
func (l *lateness) require(t *testing.T) {
	t.Helper()
	sandbox.Eventually(t, func() bool { return l.count(l.f.silent) == len(l.f.silent) },
		2*l.f.size.interval+lateAfter+sandbox.Timeout, time.Second, "silent servers are not shown as late")
	l.stop()
	assert.Zero(t, l.count(l.f.healthy), "healthy servers were shown as late")
}
