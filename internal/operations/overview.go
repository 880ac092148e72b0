package operations

import (
	"context"
	"time"

	"stevedore/internal/ingest"
)

// Overview summarizes the state of all servers and files.
type Overview struct {
	// At is the time of the summary by the database's clock.
	At time.Time
	// Files counts files by status, including those of removed servers; a status without
	// files is absent.
	Files map[ingest.Status]int64
	// InFlight is the number of files in flight.
	InFlight int64
	// Hours are the statistics of the last 24 hours including the current one, the oldest
	// first.
	Hours []ingest.HourStats
	// Servers are all servers except removed ones, by name.
	Servers []ServerOverview
	// OldestInError is the failed file that was discovered first, OldestInFlight the file
	// in flight that was; nil when there is none.
	OldestInError, OldestInFlight *ingest.File
}

// ServerOverview summarizes the state of one server and its files.
type ServerOverview struct {
	Server   ingest.Server
	Files    map[ingest.Status]int64
	InFlight int64
	// Hours cover the same period as those of the Overview.
	Hours []ingest.HourStats
}

// Overview implements Monitor.
func (s *Service) Overview(ctx context.Context) (Overview, error) {
	servers, err := s.ListServers(ctx)
	if err != nil {
		return Overview{}, err
	}
	stats, err := s.d.Ledger.Stats(ctx)
	if err != nil {
		return Overview{}, err
	}
	o := Overview{
		At: stats.At, Files: map[ingest.Status]int64{}, Hours: ingest.NoHours(stats.At),
		OldestInError: stats.OldestInError, OldestInFlight: stats.OldestInFlight,
	}
	for _, counts := range stats.Files {
		for status, n := range counts {
			o.Files[status] += n
		}
	}
	for _, hours := range stats.Hours {
		for i, hour := range hours {
			o.Hours[i].Completed += hour.Completed
			o.Hours[i].Bytes += hour.Bytes
			o.Hours[i].Failures += hour.Failures
		}
	}
	o.InFlight = inFlight(o.Files)
	for _, server := range servers {
		o.Servers = append(o.Servers, s.serverOverview(server, stats))
	}
	return o, nil
}

func (s *Service) serverOverview(server ingest.Server, stats ingest.Stats) ServerOverview {
	o := ServerOverview{
		Server: server, Files: stats.Files[server.UUID], Hours: stats.Hours[server.UUID],
		InFlight: inFlight(stats.Files[server.UUID]),
	}
	if o.Files == nil {
		o.Files = map[ingest.Status]int64{}
	}
	if o.Hours == nil {
		o.Hours = ingest.NoHours(stats.At)
	}
	return o
}

func inFlight(files map[ingest.Status]int64) (n int64) {
	for _, status := range ingest.InFlight {
		n += files[status]
	}
	return n
}
