package telemetry

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// API holds the metrics of the API process. It is safe for concurrent use.
type API struct {
	process
	requests *prometheus.HistogramVec
	streams  prometheus.Gauge
}

// NewAPI returns the metrics of an API process; version is a label of build_info.
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

// methods are the possible values of the label method besides otherName. Clients may
// send arbitrary methods, which must not create series.
var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPatch, http.MethodPut, http.MethodDelete, http.MethodOptions}

// Request counts an answered request. route is the pattern of the matched route, empty
// if none matched, and never the requested path.
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

// State is the state of the installation at the time of a scrape.
type State struct {
	// Ledger is nil when it could not be read.
	Ledger *Ledger
	// Parts reports by name whether a part is available.
	Parts map[string]bool
}

// Ledger holds the figures that come from the ledger.
type Ledger struct {
	// Files counts files by status, with an entry for every status.
	Files map[string]int64
	// OldestInError and OldestInFlight are ages; 0 if there is no such file.
	OldestInError, OldestInFlight time.Duration
	// Servers holds all servers that are not removed.
	Servers []Server
}

// Server holds the figures of one server.
type Server struct {
	Name string
	// State is ok, suspended or paused.
	State string
	Late  bool
	// ScanAge is the time since the start of the last scan; negative before the first.
	ScanAge time.Duration
	// Left counts ingested files whose source remains; InProgress and Alone count
	// ignored names: files being written, and companions without their file.
	Left, InProgress, Alone int64
	// Unread counts unreadable folders, Held changes held for an operator, and Resent
	// ingested files that are back on the server.
	Unread, Held, Resent int64
}

// Values of Server.State.
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
	emitted := map[string]bool{}
	for _, server := range s.Ledger.Servers {
		states[server.State]++
		if name := label(server.Name); !emitted[name] { // a duplicate series would fail the scrape
			emitted[name] = true
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
	emit.gauge(serverIgnored, float64(s.InProgress), name, "in_progress")
	emit.gauge(serverIgnored, float64(s.Alone), name, "companion")
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
