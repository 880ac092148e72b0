package ingest

import "time"

// StatsHours is how many hours Stats and its servers look back, the current one
// included.
const StatsHours = 24

// HourStats is what happened in one hour.
type HourStats struct {
	// Start is the beginning of the hour in UTC.
	Start time.Time
	// Completed counts files and Bytes their sizes.
	Completed, Bytes int64
	// Failures counts events of type error.
	Failures int64
}

// Stats is where all files stand and what happened lately.
type Stats struct {
	// At is when it was so, by the database's clock.
	At time.Time
	// Files counts by server uuid and status; absent means none. Servers that
	// were removed are in it.
	Files map[string]map[Status]int64
	// Hours holds, by server uuid, StatsHours hours, the oldest first. A server
	// without any is absent.
	Hours map[string][]HourStats
	// OldestInError and OldestInFlight are the files that were seen first; nil
	// when there is none.
	OldestInError, OldestInFlight *File
}

// NoHours returns the hours up to the given time, in which nothing happened.
func NoHours(at time.Time) []HourStats {
	hours := make([]HourStats, StatsHours)
	first := at.UTC().Truncate(time.Hour).Add(-(StatsHours - 1) * time.Hour)
	for i := range hours {
		hours[i].Start = first.Add(time.Duration(i) * time.Hour)
	}
	return hours
}

// lateGrace is how much later than expected a scan may begin: one of many
// servers waits some seconds for its turn.
const lateGrace = 30 * time.Second

// ScanTolerance is how much sooner than its interval a server is due when all
// servers are looked at every tick. Its last scan began some time after the tick
// that it was due at. Almost half a tick makes it due at the tick that is nearest
// to its interval, however long that took.
func ScanTolerance(tick time.Duration) time.Duration { return tick * 9 / 20 }

// ScanGap returns the time between two scheduled scans of the server when all
// servers are looked at every tick.
func (s Server) ScanGap(tick time.Duration) time.Duration {
	if tick <= 0 {
		return s.ScanInterval
	}
	ticks := (s.ScanInterval - ScanTolerance(tick) + tick - 1) / tick
	return max(ticks, 1) * tick
}

// Late reports whether the server should have been scanned by then and was not:
// more than ScanGap and half a minute have gone since the last scan began, or
// since the server was added. Servers that are not scanned on schedule are never
// late.
func (s Server) Late(at time.Time, tick time.Duration) bool {
	if !s.Active || s.State == ServerSuspended {
		return false
	}
	last := s.LastScanAt
	if last.IsZero() {
		last = s.CreatedAt
	}
	return at.Sub(last) > s.ScanGap(tick)+lateGrace
}
