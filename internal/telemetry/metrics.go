package telemetry

import (
	"bytes"
	"fmt"
	"runtime"
	"sync"
	"unicode"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"
	"go.temporal.io/sdk/client"
)

// process is what the metrics of every process have in common.
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

// Temporal is where a Temporal client and its workers count what they do.
func (p process) Temporal() client.MetricsHandler { return p.temporal }

// Pool is how a pool of connections to the database stands.
type Pool struct {
	InUse, Idle, Max int
	// Acquires counts takings, Waited those that had to wait.
	Acquires, Waited int64
	// WaitSeconds is how long all takings took.
	WaitSeconds float64
}

// WatchPool has the pool's state among the metrics; ok is false while there is
// no pool. It is called once.
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
		emit.counter(poolWait, pool.WaitSeconds)
	}))
}

// ContentType is that of what Text returns.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// text returns all metrics, and those of more collectors, in Prometheus's text
// format. One that cannot be had is an error: a part would look like the whole.
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

// emitter takes values that are computed when metrics are asked for.
type emitter func(prometheus.Metric)

func (e emitter) gauge(m Metric, value float64, labels ...string) {
	e(prometheus.MustNewConstMetric(m.desc(), prometheus.GaugeValue, value, labels...))
}

func (e emitter) counter(m Metric, value float64, labels ...string) {
	e(prometheus.MustNewConstMetric(m.desc(), prometheus.CounterValue, value, labels...))
}

// computed is a collector of such values.
type computed func(emitter)

// Describe implements prometheus.Collector: what there is shows only later.
func (computed) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c computed) Collect(to chan<- prometheus.Metric) {
	c(func(m prometheus.Metric) { to <- m })
}

const (
	// maxLabel bounds a label's length in characters, maxNames how many names
	// one process tells apart; the rest is otherName.
	maxLabel  = 128
	maxNames  = 1000
	otherName = "other"
)

// label makes a text that people chose fit for a label: valid UTF-8 that moves
// no cursor, and not endless.
func label(text string) string {
	shown := []rune(text) // which replaces what is not UTF-8
	for i, r := range shown {
		if !unicode.IsPrint(r) {
			shown[i] = unicode.ReplacementChar
		}
	}
	return string(shown[:min(len(shown), maxLabel)])
}

// names bounds how many names a counter tells apart: each one stays for as
// long as the process runs.
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
