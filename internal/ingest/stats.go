package ingest

import "time"

// StatsHours is the number of hours covered by Stats, including the current one.
const StatsHours = 24

// HourStats are the statistics of one hour.
type HourStats struct {
	// Start is the beginning of the hour in UTC.
	Start time.Time
	// Completed counts completed files; Bytes is their total size.
	Completed, Bytes int64
	// Failures counts events of type EventError.
	Failures int64
}

// Stats counts files by status, with hourly statistics.
type Stats struct {
	// At is the time of the statistics, by the database's clock.
	At time.Time
	// Files counts files by server uuid and status, including removed servers; zero
	// counts are absent.
	Files map[string]map[Status]int64
	// Hours holds, by server uuid, StatsHours hours, oldest first. Servers without
	// activity are absent.
	Hours map[string][]HourStats
	// OldestInError and OldestInFlight are the files seen first; nil for none.
	OldestInError, OldestInFlight *File
}

// NoHours returns StatsHours hours without activity that end with the hour of at.
func NoHours(at time.Time) []HourStats {
	hours := make([]HourStats, StatsHours)
	first := at.UTC().Truncate(time.Hour).Add(-(StatsHours - 1) * time.Hour)
	for i := range hours {
		hours[i].Start = first.Add(time.Duration(i) * time.Hour)
	}
	return hours
}

// Period is a period of statistics that ends now.
type Period string

// The periods. A day has a bucket per hour, the longer ones have one per day in UTC.
const (
	PeriodDay   Period = "24h"
	PeriodWeek  Period = "7d"
	PeriodMonth Period = "30d"
)

// Buckets returns the number and length of the period's buckets; 0 for an unknown period.
func (p Period) Buckets() (n int, length time.Duration) {
	const day = 24 * time.Hour
	switch p {
	case PeriodDay:
		return StatsHours, time.Hour
	case PeriodWeek:
		return 7, day
	case PeriodMonth:
		return 30, day
	default:
		return 0, 0
	}
}

// Statistics counts completed and failed files in the buckets of a period.
type Statistics struct {
	// At is the time of the statistics, by the database's clock.
	At     time.Time
	Period Period
	// Buckets are the period's, oldest first; the last one contains At. Start is the
	// beginning of the bucket.
	Buckets []HourStats
	// Servers are the counts of the period by server, in order of name. Servers without
	// activity are included, removed servers only with activity.
	Servers []ServerStats
}

// ServerStats are the statistics of one server.
type ServerStats struct {
	ServerUUID, ServerName     string
	ServerRemoved              bool
	Completed, Bytes, Failures int64
}

// NewStatistics returns the period's buckets without activity.
func NewStatistics(period Period, at time.Time) Statistics {
	n, length := period.Buckets()
	s := Statistics{At: at.UTC(), Period: period, Buckets: make([]HourStats, n)}
	for i := range s.Buckets {
		s.Buckets[i].Start = s.At.Truncate(length).Add(time.Duration(i-n+1) * length)
	}
	return s
}

// Add adds an hour to its bucket. Hours outside the period are ignored.
func (s *Statistics) Add(hour HourStats) {
	_, length := s.Period.Buckets()
	if len(s.Buckets) == 0 || hour.Start.Before(s.Buckets[0].Start) {
		return
	}
	i := int(hour.Start.Sub(s.Buckets[0].Start) / length)
	if i < len(s.Buckets) {
		b := &s.Buckets[i]
		b.Completed, b.Bytes, b.Failures = b.Completed+hour.Completed, b.Bytes+hour.Bytes, b.Failures+hour.Failures
	}
}

// FailureGroup summarizes the failed files of a server with the same kind of error in
// the same step.
type FailureGroup struct {
	ServerUUID, ServerName string
	// Kind and Step are empty if unknown.
	Kind  Kind
	Step  Step
	Count int64
	// Since is the time of the oldest failure, Latest that of the latest.
	Since, Latest time.Time
	// FileUUID is the file of the latest failure, Message its error message.
	FileUUID, Message string
}

// lateGrace is the tolerated delay of a scan: with many servers a scan starts some
// seconds later.
const lateGrace = 30 * time.Second

// ScanTolerance returns how much earlier than its interval a server is due when
// servers are checked every tick. A scan starts some time after the tick at which
// it was due. Almost half a tick selects the tick closest to the interval despite
// that delay.
func ScanTolerance(tick time.Duration) time.Duration { return tick * 9 / 20 }

// ScanGap returns the time between two scheduled scans of the server when servers
// are checked every tick.
func (s Server) ScanGap(tick time.Duration) time.Duration {
	if tick <= 0 {
		return s.ScanInterval
	}
	ticks := (s.ScanInterval - ScanTolerance(tick) + tick - 1) / tick
	return max(ticks, 1) * tick
}

// Overdue reports whether a scheduled scan is overdue: more than ScanGap and
// lateGrace have passed since the last scan began or the server was added. It is
// false for servers that are not scanned on schedule.
func (s Server) Overdue(at time.Time, tick time.Duration) bool {
	if !s.Active || s.State == ServerSuspended {
		return false
	}
	last := s.LastScanAt
	if last.IsZero() {
		last = s.CreatedAt
	}
	return at.Sub(last) > s.ScanGap(tick)+lateGrace
}
