package telemetry

import (
	"bytes"
	"fmt"
	"runtime"
	"sync"
	"time"
	"unicode"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"
	"go.temporal.io/sdk/client"
)

// process holds the metrics that every process has.
type process struct {
	registry *prometheus.Registry
	temporal client.MetricsHandler
}

func newProcess(version string) (process, error) {
	p := process{registry: prometheus.NewRegistry()}
	p.registry.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		computed(func(emit emitter) { emit.gauge(buildInfo, 1, version, runtime.Version()) }),
		computed(func(emit emitter) {
			emit.gauge(memoryMax, float64(memoryLimit()))
			emit.gauge(memoryUsed, memoryInUse())
		}),
	)
	var err error
	p.temporal, err = newTemporal(p.registry)
	return p, err
}

// Temporal returns the handler for metrics of the Temporal client and its workers.
func (p process) Temporal() client.MetricsHandler { return p.temporal }

// Pool is the state of a pool of database connections.
type Pool struct {
	InUse, Idle, Max int
	// Acquires counts acquired connections, Waited the acquisitions that had to wait.
	Acquires, Waited int64
	// WaitTime is the total time of all acquires.
	WaitTime time.Duration
}

// WatchPool adds the pool's state to the metrics. ok is false while there is no pool.
// Call it at most once.
func (p process) WatchPool(state func() (pool Pool, ok bool)) {
	p.registry.MustRegister(computed(func(emit emitter) {
		pool, ok := state()
		if !ok {
			return
		}
		emit.gauge(poolConns, float64(pool.InUse), "in_use")
		emit.gauge(poolConns, float64(pool.Idle), "idle")
		emit.gauge(poolMax, float64(pool.Max))
		emit.counter(poolAcquire, float64(pool.Acquires))
		emit.counter(poolWaited, float64(pool.Waited))
		emit.counter(poolWait, pool.WaitTime.Seconds())
	}))
}

// ContentType is the content type of the result of Text.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// text returns all metrics, including those of more collectors, in Prometheus's text
// format. If one of them fails, so does text: an incomplete result would look complete.
func (p process) text(more ...prometheus.Collector) ([]byte, error) {
	others := prometheus.NewRegistry()
	for _, c := range more {
		if err := others.Register(c); err != nil {
			return nil, fmt.Errorf("collect metrics: %w", err)
		}
	}
	families, err := prometheus.Gatherers{p.registry, others}.Gather()
	if err != nil {
		return nil, fmt.Errorf("collect metrics: %w", err)
	}
	var out bytes.Buffer
	encoder := expfmt.NewEncoder(&out, expfmt.NewFormat(expfmt.TypeTextPlain))
	for _, family := range families {
		if err := encoder.Encode(family); err != nil {
			return nil, fmt.Errorf("write metrics: %w", err)
		}
	}
	return out.Bytes(), nil
}

// emitter receives values that are computed on collection.
type emitter func(prometheus.Metric)

func (e emitter) gauge(m Metric, value float64, labels ...string) {
	e(prometheus.MustNewConstMetric(m.desc(), prometheus.GaugeValue, value, labels...))
}

func (e emitter) counter(m Metric, value float64, labels ...string) {
	e(prometheus.MustNewConstMetric(m.desc(), prometheus.CounterValue, value, labels...))
}

// computed is a collector of values computed on collection.
type computed func(emitter)

// Describe implements prometheus.Collector. It describes nothing, because label values
// are known only on collection.
func (computed) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c computed) Collect(to chan<- prometheus.Metric) {
	c(func(m prometheus.Metric) { to <- m })
}

const (
	// maxLabel is the maximum length of a label value in characters. maxNames is the
	// maximum number of servers with series of their own; further servers share
	// otherName.
	maxLabel  = 128
	maxNames  = 1000
	otherName = "other"
)

// label converts a user-defined name to a label value: valid UTF-8, printable
// characters only, at most maxLabel of them.
func label(text string) string {
	shown := []rune(text) // the conversion replaces invalid UTF-8
	for i, r := range shown {
		if !unicode.IsPrint(r) {
			shown[i] = unicode.ReplacementChar
		}
	}
	return string(shown[:min(len(shown), maxLabel)])
}

// names limits the distinct names of counters, because series of a name exist until
// the process ends.
type names struct {
	mu   sync.Mutex
	seen map[string]bool
}

func (n *names) label(name string) string {
	name = label(name)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.seen == nil {
		n.seen = map[string]bool{}
	}
	if !n.seen[name] {
		if len(n.seen) >= maxNames {
			return otherName
		}
		n.seen[name] = true
	}
	return name
}
