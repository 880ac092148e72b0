package telemetry

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "update the tables of metrics in docs/metrics.md")

// table returns the metrics as a Markdown table.
func table(metrics []Metric) string {
	var b strings.Builder
	b.WriteString("| metric | type | labels | meaning |\n|---|---|---|---|\n")
	for _, m := range metrics {
		labels := ""
		if len(m.Labels) > 0 {
			labels = "`" + strings.Join(m.Labels, "`, `") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.Name, m.Type, labels, m.Help)
	}
	return b.String()
}

func TestDocumentationListsEveryMetric(t *testing.T) {
	t.Parallel()
	const path = "../../docs/metrics.md"
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	documented := string(text)
	for _, section := range []struct {
		name    string
		metrics []Metric
	}{{"api", apiMetrics}, {"worker", workerMetrics}, {"both", commonMetrics}} {
		begin, end := "<!-- metrics of "+section.name+" -->\n", "<!-- end -->\n"
		before, rest, found := strings.Cut(documented, begin)
		require.True(t, found, begin)
		listed, after, found := strings.Cut(rest, end)
		require.True(t, found, end)
		if *update {
			documented = before + begin + table(section.metrics) + end + after
			continue
		}
		require.Equal(t, table(section.metrics), listed, "run `go test ./internal/telemetry -update`")
	}
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(documented), 0o644))
	}
}
