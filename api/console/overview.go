package console

import (
	"fmt"
	"net/http"
	"strings"

	"stevedore/internal/ingest"
	"stevedore/internal/operations"
)

func (c *Console) overview(r *http.Request, v *view) (answer, error) {
	o, err := c.d.Operations.Overview(r.Context())
	if err != nil {
		return answer{}, err
	}
	return answer{title: v.T("Overview"), body: overviewView(v, o)}, nil
}

// total adds up the buckets.
func total(hours []ingest.HourStats) (sum ingest.HourStats) {
	for _, hour := range hours {
		sum.Completed += hour.Completed
		sum.Bytes += hour.Bytes
		sum.Failures += hour.Failures
	}
	return sum
}

// attention returns the servers that are not healthy.
func attention(o operations.Overview) (list []operations.ServerOverview) {
	for _, s := range o.Servers {
		switch healthOf(s.Server, s.Late).class {
		case "bad", "warn":
			list = append(list, s)
		}
	}
	return list
}

// The chart of hours, in units of its own; the page scales it.
const (
	chartHeight = 100
	slotWidth   = 20
	barWidth    = 14
)

// column is one hour of the chart.
type column struct {
	hour ingest.HourStats
	x    int
	// completed and failures are the heights of the two parts.
	completed, failures float64
}

// chart scales hours to the highest of them.
func chart(hours []ingest.HourStats) (columns []column) {
	var highest int64 = 1
	for _, hour := range hours {
		highest = max(highest, hour.Completed+hour.Failures)
	}
	height := func(n int64) float64 {
		if n == 0 {
			return 0
		}
		return max(2, float64(n)/float64(highest)*chartHeight) // what happened is seen
	}
	for i, hour := range hours {
		columns = append(columns, column{hour: hour, x: i * slotWidth, completed: height(hour.Completed), failures: height(hour.Failures)})
	}
	return columns
}

// sparkPaths draws the two parts of all columns with one path each: a page has
// many such charts.
func sparkPaths(columns []column) (completed, failures string) {
	var done, failed strings.Builder
	bar := func(path *strings.Builder, x int, from, height float64) {
		if height > 0 {
			fmt.Fprintf(path, "M%d %.0fv-%.0fh%dv%.0fz", x, chartHeight-from, height, barWidth, height)
		}
	}
	for _, col := range columns {
		bar(&done, col.x, 0, col.completed)
		bar(&failed, col.x, col.completed, col.failures)
	}
	return done.String(), failed.String()
}
