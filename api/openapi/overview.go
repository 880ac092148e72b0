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
			LastError: orNull(s.Server.LastError), LastScanAt: timeOrNull(s.Server.LastScanAt), Late: s.Late,
			Files: fromCounts(s.Files), InFlight: s.InFlight, Hours: fromHours(s.Hours),
		}
	})
	return Overview{
		At: o.At.UTC(), Files: fromCounts(o.Files), InFlight: o.InFlight, Hours: fromHours(o.Hours), Servers: servers,
		OldestInError: fileOrNull(o.OldestInError), OldestInFlight: fileOrNull(o.OldestInFlight),
	}
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
