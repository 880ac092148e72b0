package telemetry

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// API is the metrics of the API's process. It is safe for concurrent use.
type API struct {
	process
	requests *prometheus.HistogramVec
	streams  prometheus.Gauge
}

// NewAPI returns the metrics of an API of the version.
func NewAPI(version string) (*API, error) {
	p, err := newProcess(version)
	if err != nil {
		return nil, err
	}
	a := &API{
		process:  p,
		requests: requests.histogram(.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30),
		streams:  prometheus.NewGauge(prometheus.GaugeOpts{Name: streams.Name, Help: streams.Help}),
	}
	p.registry.MustRegister(a.requests, a.streams)
	return a, nil
}

// methods are those that have a label of their own: others are anybody's words.
var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPatch, http.MethodPut, http.MethodDelete, http.MethodOptions}

// Request counts a request that was answered. The route is a pattern of ours
// and empty where none fitted; it is never what the caller wrote.
func (a *API) Request(method, route string, status int, took time.Duration) {
	if !slices.Contains(methods, method) {
		method = otherName
	}
	if route == "" {
		route = otherName
	}
	a.requests.WithLabelValues(method, route, strconv.Itoa(status)).Observe(took.Seconds())
}

// Stream counts a stream as open until closed is called.
func (a *API) Stream() (closed func()) {
	a.streams.Inc()
	return a.streams.Dec
}

// State is how the whole stands when metrics are asked for.
type State struct {
	// Ledger is nil when it could not be read.
	Ledger *Ledger
	// Parts says which parts do their work.
	Parts map[string]bool
}

// Ledger is what the ledger says.
type Ledger struct {
	// Files counts by status, those of which there are none included.
	Files map[string]int64
	// OldestInError and OldestInFlight are ages; 0 is that there is none.
	OldestInError, OldestInFlight time.Duration
	// Servers are those that were not removed.
	Servers []Server
}

// Server is how one server stands.
type Server struct {
	Name string
	// State is ok, suspended or paused.
	State string
	Late  bool
	// ScanAge is the time since the last scan; negative before the first.
	ScanAge time.Duration
	// Left counts taken files whose source is left, InProgress and Alone the names
	// that are not taken.
	Left, InProgress, Alone int64
	// Unread counts folders that could not be read, Held changes that wait for a
	// decision, Resent files that are there again.
	Unread, Held, Resent int64
}

// The states of a Server.
const (
	ServerOK        = "ok"
	ServerSuspended = "suspended"
	ServerPaused    = "paused"
)

// Text returns all metrics and the state in Prometheus's text format.
func (a *API) Text(s State) ([]byte, error) { return a.text(computed(s.emit)) }

func (s State) emit(emit emitter) {
	for part, up := range s.Parts {
		emit.gauge(partUp, oneIf(up), label(part))
	}
	emit.gauge(ledgerUp, oneIf(s.Ledger != nil))
	if s.Ledger == nil {
		return
	}
	for status, n := range s.Ledger.Files {
		emit.gauge(files, float64(n), status)
	}
	emit.gauge(oldestFile, s.Ledger.OldestInError.Seconds(), "error")
	emit.gauge(oldestFile, s.Ledger.OldestInFlight.Seconds(), "in_flight")
	states := map[string]int{ServerOK: 0, ServerSuspended: 0, ServerPaused: 0}
	told := map[string]bool{}
	for _, server := range s.Ledger.Servers {
		states[server.State]++
		if name := label(server.Name); !told[name] { // two of a name would spoil all
			told[name] = true
			server.emit(emit, name)
		}
	}
	for state, n := range states {
		emit.gauge(servers, float64(n), state)
	}
}

func (s Server) emit(emit emitter, name string) {
	emit.gauge(serverLate, oneIf(s.Late), name)
	emit.gauge(serverSuspended, oneIf(s.State == ServerSuspended), name)
	emit.gauge(serverLeft, float64(s.Left), name)
	emit.gauge(serverAside, float64(s.InProgress), name, "in_progress")
	emit.gauge(serverAside, float64(s.Alone), name, "companion")
	emit.gauge(serverUnread, float64(s.Unread), name)
	emit.gauge(serverHeld, float64(s.Held), name)
	emit.gauge(serverResent, float64(s.Resent), name)
	if s.ScanAge >= 0 {
		emit.gauge(serverScanAge, s.ScanAge.Seconds(), name)
	}
}

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
