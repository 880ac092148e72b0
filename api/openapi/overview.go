package openapi

import (
	"stevedore/internal/ingest"
	"stevedore/internal/operations"
)

// FromOverview returns the overview as the API shows it.
func FromOverview(o operations.Overview) Overview {
	servers := List(o.Servers, func(s operations.ServerOverview) ServerOverview {
		return ServerOverview{
			ServerUUID: s.Server.UUID, Name: s.Server.Name, IsActive: s.Server.Active, State: string(s.Server.State),
			LastError: orNull(s.Server.LastError), LastScanAt: timeOrNull(s.Server.LastScanAt), Late: s.Server.Late, Health: ServerHealth(s.Server.Health()),
			Files: fromCounts(s.Files), InFlight: s.InFlight, Hours: fromHours(s.Hours),
		}
	})
	return Overview{
		At: o.At.UTC(), Files: fromCounts(o.Files), InFlight: o.InFlight, Hours: fromHours(o.Hours), Servers: servers,
		OldestInError: fileOrNull(o.OldestInError), OldestInFlight: fileOrNull(o.OldestInFlight),
	}
}

// FromStatistics returns statistics as the API shows them.
func FromStatistics(s ingest.Statistics) Statistics {
	shown := Statistics{At: s.At.UTC(), Period: StatisticsPeriod(s.Period), Bucket: BucketHour, Buckets: []StatisticsCounts{}, Servers: []ServerStatistics{}}
	if s.Period != ingest.PeriodDay {
		shown.Bucket = BucketDay
	}
	for _, b := range s.Buckets {
		shown.Buckets = append(shown.Buckets, StatisticsCounts{Start: b.Start.UTC(), Completed: b.Completed, Bytes: b.Bytes, Failed: b.Failures})
	}
	for _, c := range s.Servers {
		shown.Servers = append(shown.Servers, ServerStatistics{
			Server: c.ServerName, ServerUUID: c.ServerUUID, ServerRemoved: c.ServerRemoved, Completed: c.Completed, Bytes: c.Bytes, Failed: c.Failures,
		})
	}
	return shown
}

// FromFailures returns groups of failed files as the API shows them.
func FromFailures(groups []ingest.FailureGroup, more bool) FailureList {
	list := FailureList{Groups: []FailureGroup{}, More: more}
	for _, g := range groups {
		list.Groups = append(list.Groups, FailureGroup{
			Server: g.ServerName, ServerUUID: g.ServerUUID, ErrorKind: string(g.Kind), Step: string(g.Step), Count: g.Count,
			Since: g.Since.UTC(), Latest: g.Latest.UTC(), FileUUID: g.FileUUID, Message: g.Message,
		})
	}
	return list
}

func fromCounts(files map[ingest.Status]int64) StatusCounts {
	counts := StatusCounts{}
	for _, status := range ingest.Statuses {
		counts[string(status)] = files[status]
	}
	return counts
}

func fromHours(hours []ingest.HourStats) []HourStats {
	return List(hours, func(h ingest.HourStats) HourStats {
		return HourStats{Start: h.Start.UTC(), Completed: h.Completed, Bytes: h.Bytes, Failures: h.Failures}
	})
}

func fileOrNull(f *ingest.File) *File {
	if f == nil {
		return nil
	}
	shown := FromFile(*f)
	return &shown
}
