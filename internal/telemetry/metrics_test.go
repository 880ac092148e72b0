package telemetry

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
)

// parsed parses the text format with Prometheus's parser.
func parsed(t *testing.T, text []byte) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	require.NoError(t, err, string(text))
	return families
}

// ownMetrics returns the stevedore_ metrics of a scrape as catalogue entries.
func ownMetrics(t *testing.T, families map[string]*dto.MetricFamily) (found []Metric) {
	t.Helper()
	for name, family := range families {
		if !strings.HasPrefix(name, "stevedore_") {
			require.Regexp(t, `^(go|process|promhttp|temporal)_`, name)
			continue
		}
		m := Metric{Name: name, Type: strings.ToLower(family.GetType().String()), Help: family.GetHelp()}
		for _, pair := range family.GetMetric()[0].GetLabel() {
			m.Labels = append(m.Labels, pair.GetName())
		}
		found = append(found, m)
	}
	return found
}

// sorted returns the metrics in a canonical order.
func sorted(metrics []Metric) []Metric {
	metrics = slices.Clone(metrics)
	for i := range metrics {
		if metrics[i].Labels = slices.Clone(metrics[i].Labels); len(metrics[i].Labels) == 0 {
			metrics[i].Labels = nil
		}
		slices.Sort(metrics[i].Labels)
	}
	slices.SortFunc(metrics, func(a, b Metric) int { return strings.Compare(a.Name, b.Name) })
	return metrics
}

func busyAPI(t *testing.T) (*API, State) {
	t.Helper()
	a, err := NewAPI("v1")
	require.NoError(t, err)
	a.WatchPool(func() (Pool, bool) {
		return Pool{InUse: 1, Idle: 2, Max: 4, Acquires: 7, Waited: 1, WaitTime: time.Second / 2}, true
	})
	a.Request("GET", "/api/v1/files", 200, time.Millisecond)
	return a, State{
		Parts: map[string]bool{"worker": false},
		Ledger: &Ledger{
			Files: map[string]int64{"error": 3, "ready": 0}, OldestInError: time.Hour,
			Servers: []Server{{Name: "acme", State: ServerSuspended, Late: true, ScanAge: time.Minute}, {Name: "new", State: ServerOK, ScanAge: -1}},
		},
	}
}

func busyWorker(t *testing.T) *Worker {
	t.Helper()
	w, err := NewWorker("v1")
	require.NoError(t, err)
	w.WatchPool(func() (Pool, bool) { return Pool{}, true })
	w.WatchStaging(func() Staging { return Staging{Up: true, Size: 100, Free: 40, InUse: 10, Files: 2} })
	w.Completed("acme")
	w.Downloaded("acme")(7)
	w.Transferred("memory")
	w.Uploaded("acme", 7)
	w.Step("upload", "transient")
	w.Step("upload", "")
	w.StepTook("upload", time.Second)
	return w
}

// TestCatalogueMatchesTheScrape compares the catalogue, from which the documentation is
// generated, with the metrics served: names, types, labels and help.
func TestCatalogueMatchesTheScrape(t *testing.T) {
	t.Parallel()
	a, state := busyAPI(t)
	text, err := a.Text(state)
	require.NoError(t, err)
	require.Equal(t, sorted(APIMetrics()), sorted(ownMetrics(t, parsed(t, text))))
	text, err = busyWorker(t).Text()
	require.NoError(t, err)
	require.Equal(t, sorted(WorkerMetrics()), sorted(ownMetrics(t, parsed(t, text))))
}

// TestPrometheusNamingConventions: counters, and only they, end in _total; units are
// seconds and bytes; help texts are sentences.
func TestPrometheusNamingConventions(t *testing.T) {
	t.Parallel()
	for _, m := range append(APIMetrics(), WorkerMetrics()...) {
		require.Regexp(t, `^stevedore_[a-z_]+[a-z]$`, m.Name)
		require.Equal(t, m.Type == "counter", strings.HasSuffix(m.Name, "_total"), m.Name)
		require.NotRegexp(t, regexp.MustCompile(`(milli|_ms|_mb|_kb|minutes)`), m.Name)
		require.Regexp(t, `^\S.*\.$`, m.Help, m.Name)
		for _, name := range m.Labels {
			require.NotContains(t, []string{"path", "file", "file_uuid", "filename", "key", "workflow_id"}, name, m.Name)
		}
	}
}

func TestAPIState(t *testing.T) {
	t.Parallel()
	a, state := busyAPI(t)
	closed := a.Stream()
	text, err := a.Text(state)
	require.NoError(t, err)
	for _, line := range []string{
		`stevedore_build_info{goversion="go`, `stevedore_ledger_up 1`, `stevedore_files{status="error"} 3`, `stevedore_files{status="ready"} 0`,
		`stevedore_oldest_file_age_seconds{state="error"} 3600`, `stevedore_oldest_file_age_seconds{state="in_flight"} 0`,
		`stevedore_servers{state="suspended"} 1`, `stevedore_servers{state="paused"} 0`, `stevedore_server_late{server="acme"} 1`,
		`stevedore_server_suspended{server="new"} 0`, `stevedore_server_last_scan_age_seconds{server="acme"} 60`,
		`stevedore_part_up{part="worker"} 0`, `stevedore_database_connections{state="idle"} 2`, `stevedore_http_streams 1`,
		`stevedore_http_request_duration_seconds_count{method="GET",route="/api/v1/files",status="200"} 1`,
	} {
		require.Contains(t, string(text), "\n"+line)
	}
	require.NotContains(t, string(text), `last_scan_age_seconds{server="new"}`)

	closed()
	text, err = a.Text(State{})
	require.NoError(t, err)
	require.Contains(t, string(text), "\nstevedore_ledger_up 0\n")
	require.Contains(t, string(text), "\nstevedore_http_streams 0\n")
	require.NotContains(t, string(text), "stevedore_files{", "unknown values are absent, not zero")
}

// TestHostileNamesDoNotBreakTheScrape: user-defined names break neither the format nor
// the process, and two names with the same label value are not an error.
func TestHostileNamesDoNotBreakTheScrape(t *testing.T) {
	t.Parallel()
	hostile := []string{"a\"} 1\nstevedore_files 9\n#", "\xff\xfe", "\xfe\xff", "tab\tesc\x1b[31m", "back\\slash", strings.Repeat("я", 500), ""}
	a, _ := busyAPI(t)
	w := busyWorker(t)
	state := State{Ledger: &Ledger{}, Parts: map[string]bool{hostile[0]: true}}
	for _, name := range hostile {
		state.Ledger.Servers = append(state.Ledger.Servers, Server{Name: name, State: ServerOK})
		w.Completed(name)
		w.Downloaded(name)(1)
		w.Uploaded(name, 1)
	}
	a.Request("GET\n{", "", 404, time.Second)
	text, err := a.Text(state)
	require.NoError(t, err)
	worked, err := w.Text()
	require.NoError(t, err)
	require.NotRegexp(t, `[\x00-\x09\x0b-\x1f\x7f]`, string(text)+string(worked))
	families := parsed(t, text)
	require.Empty(t, families["stevedore_files"].GetMetric())
	require.Len(t, families["stevedore_server_late"].GetMetric(), len(hostile)-1, "two of them have the same label value")
	require.Contains(t, string(text), `{method="other",route="other",status="404"`)
	for _, m := range parsed(t, worked)["stevedore_files_completed_total"].GetMetric() {
		require.LessOrEqual(t, len([]rune(m.GetLabel()[0].GetValue())), maxLabel)
	}
}

// TestNamesAreBounded: the number of series is bounded, however many servers a
// long-running process has seen.
func TestNamesAreBounded(t *testing.T) {
	t.Parallel()
	w := busyWorker(t) // has acme
	for i := range maxNames + 10 {
		w.Completed(fmt.Sprint("server-", i))
	}
	w.Completed("acme")
	text, err := w.Text()
	require.NoError(t, err)
	require.Len(t, parsed(t, text)["stevedore_files_completed_total"].GetMetric(), maxNames+1)
	require.Contains(t, string(text), `stevedore_files_completed_total{server="other"} 11`)
	require.Contains(t, string(text), `stevedore_files_completed_total{server="acme"} 2`)
}

func TestTemporalSDKMetrics(t *testing.T) {
	t.Parallel()
	w := busyWorker(t)
	handler := w.Temporal().WithTags(map[string]string{"operation": "PollActivityTaskQueue"})
	handler.Counter("temporal_request").Inc(2)
	handler.Timer("temporal_request_latency").Record(20 * time.Millisecond)
	handler.Gauge("temporal_num_pollers").Update(5)
	text, err := w.Text()
	require.NoError(t, err)
	require.Contains(t, string(text), `temporal_request_total{operation="PollActivityTaskQueue"} 2`)
	require.Contains(t, string(text), `temporal_num_pollers{operation="PollActivityTaskQueue"} 5`)
	require.Contains(t, string(text), `temporal_request_latency_seconds_bucket{operation="PollActivityTaskQueue",le="0.01"} 0`)
	require.Contains(t, string(text), `temporal_request_latency_seconds_bucket{operation="PollActivityTaskQueue",le="0.05"} 1`)
	require.NotContains(t, string(text), "otel_scope")
}
