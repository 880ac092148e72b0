package console

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"stevedore/internal/ingest"
)

// periods lists the periods of statistics, the default first.
var periods = []ingest.Period{ingest.PeriodDay, ingest.PeriodWeek, ingest.PeriodMonth}

// periodNames labels the periods.
var periodNames = map[ingest.Period]string{ingest.PeriodDay: "24 hours", ingest.PeriodWeek: "7 days", ingest.PeriodMonth: "30 days"}

// periodOf returns the period of the request's URL, or the default.
func periodOf(r *http.Request) ingest.Period {
	period := ingest.Period(r.URL.Query().Get("period"))
	if periodNames[period] == "" {
		return periods[0]
	}
	return period
}

// idleReasons are the causes of an empty chart when no server is in a better state.
var idleReasons = map[ingest.Health]string{
	ingest.HealthPaused:     "Nothing happened: scans are paused. Resume a server.",
	ingest.HealthSuspended:  "Nothing happened: scans are suspended. Fix the cause, then test the connection.",
	ingest.HealthUnpinned:   "Nothing happened: no host key is pinned. Test the connection, then pin the key.",
	ingest.HealthOverdue:    "Nothing happened: scans are overdue. Check that a worker runs.",
	ingest.HealthScanFailed: "Nothing happened: scans fail. See the last error.",
	ingest.HealthNotScanned: "Nothing happened: no scan has completed yet. If none does, check that a worker runs.",
	ingest.HealthOK:         "No files completed or failed in this period. Choose a longer period, or check that the partner delivers.",
}

// idleReason explains an empty chart by the best state of the servers.
func idleReason(healths []ingest.Health) string {
	best := slices.MaxFunc(healths, func(x, y ingest.Health) int {
		return slices.Index(ingest.Healths, x) - slices.Index(ingest.Healths, y)
	})
	return cmp.Or(idleReasons[best], idleReasons[ingest.HealthOK])
}

// total adds up the buckets.
func total(buckets []ingest.HourStats) (sum ingest.HourStats) {
	for _, b := range buckets {
		sum.Completed += b.Completed
		sum.Bytes += b.Bytes
		sum.Failures += b.Failures
	}
	return sum
}

// The size of a chart in its own units; pages scale it.
const (
	chartHeight = 100
	slotWidth   = 20
	barWidth    = 14
)

// chart is a bar chart with an axis from 0 to top.
type chart struct {
	label, top, middle string
	columns            []column
}

// column is a bucket of a chart. good and bad are the heights of its parts; tick is its
// label on the axis, empty for most buckets.
type column struct {
	title, tick string
	x           int
	good, bad   float64
}

// fileChart shows completed files and failures.
func (v *view) fileChart(s ingest.Statistics) chart {
	columns, top := columnsOf(s.Buckets, func(b ingest.HourStats) (good, bad int64) { return b.Completed, b.Failures })
	return v.labelled(s, chart{label: v.T("Files"), top: v.T("%d", top), middle: v.T("%d", top/2), columns: columns})
}

// byteChart shows the size of completed files.
func (v *view) byteChart(s ingest.Statistics) chart {
	columns, top := columnsOf(s.Buckets, func(b ingest.HourStats) (good, bad int64) { return b.Bytes, 0 })
	return v.labelled(s, chart{label: v.T("Volume"), top: v.bytes(top), middle: v.bytes(top / 2), columns: columns})
}

// labelled adds titles and ticks in UTC.
func (v *view) labelled(s ingest.Statistics, c chart) chart {
	for i, b := range s.Buckets {
		start, format, every := b.Start.UTC(), "01-02", 1
		switch s.Period {
		case ingest.PeriodMonth:
			every = 5
		case ingest.PeriodWeek:
		default:
			format, every = "15:04", 4
		}
		c.columns[i].title = start.Format(format) + " UTC: " + v.happened(b)
		if (len(s.Buckets)-1-i)%every == 0 {
			c.columns[i].tick = start.Format(format)
		}
	}
	return c
}

// columnsOf scales buckets to the top of the axis.
func columnsOf(buckets []ingest.HourStats, parts func(ingest.HourStats) (good, bad int64)) (columns []column, top int64) {
	for _, b := range buckets {
		good, bad := parts(b)
		top = max(top, good+bad)
	}
	top = axisTop(top)
	height := func(n int64) float64 {
		if n == 0 {
			return 0
		}
		return max(2, float64(n)/float64(top)*chartHeight) // small values stay visible
	}
	for i, b := range buckets {
		good, bad := parts(b)
		columns = append(columns, column{x: i * slotWidth, good: height(good), bad: height(bad)})
	}
	return columns, top
}

// axisTop rounds n up to an even round number in units of 1024.
func axisTop(n int64) int64 {
	unit := int64(1)
	for n > 1000*unit {
		unit *= 1024
	}
	for step := unit; ; step *= 10 {
		for _, factor := range []int64{2, 4, 6, 8, 10} {
			if n <= factor*step {
				return factor * step
			}
		}
	}
}

// sparkPaths draws the parts of all columns with one path each, because a page may have
// many of these charts.
func sparkPaths(hours []ingest.HourStats) (completed, failures string) {
	columns, _ := columnsOf(hours, func(b ingest.HourStats) (good, bad int64) { return b.Completed, b.Failures })
	var done, failed strings.Builder
	bar := func(path *strings.Builder, x int, from, height float64) {
		if height > 0 {
			fmt.Fprintf(path, "M%d %.0fv-%.0fh%dv%.0fz", x, chartHeight-from, height, barWidth, height)
		}
	}
	for _, col := range columns {
		bar(&done, col.x, 0, col.good)
		bar(&failed, col.x, col.good, col.bad)
	}
	return done.String(), failed.String()
}
