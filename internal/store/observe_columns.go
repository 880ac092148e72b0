package store

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"stevedore/internal/ingest"
)

// columns are entries in query arguments, one list per column.
type columns struct {
	ids, sizes         []int64
	paths              [][]byte
	sidecars, markers  companionColumns
	uuids, displays    []string
	waits              []string
	filenames, reasons []string
	mtimes             []time.Time
	looks, clocks      []int
	tries, deliveries  []int
	sinces             []*time.Time
	likes, shifts      []*int64
	holds, failures    []string
	lookFirst          []bool
}

// versionColumns returns the columns that identify the versions of a server.
func versionColumns(entries []entry) (paths [][]byte, sizes []int64, mtimes []time.Time) {
	for _, e := range entries {
		paths, sizes, mtimes = append(paths, []byte(e.Path)), append(sizes, e.Size), append(mtimes, e.ModTime)
	}
	return paths, sizes, mtimes
}

func columnsOf(serverUUID string, entries []entry) columns {
	var c columns
	c.paths, c.sizes, c.mtimes = versionColumns(entries)
	for _, e := range entries {
		c.ids = append(c.ids, e.id)
		c.waits = append(c.waits, cleanText(e.WaitsFor))
		c.uuids = append(c.uuids, versionUUID(serverUUID, e))
		c.sidecars.add(e.Sidecar, e.sidecarStale)
		c.markers.add(e.Marker, e.markerStale)
		c.displays = append(c.displays, ingest.DisplayPath(e.Path))
		c.filenames = append(c.filenames, ingest.DisplayPath(baseName(e.Path)))
		c.reasons = append(c.reasons, cleanText(e.Rejected))
		c.looks, c.clocks, c.tries = append(c.looks, e.looks), append(c.clocks, e.clock), append(c.tries, e.tries)
		c.sinces, c.deliveries = append(c.sinces, timeOrNull(e.since)), append(c.deliveries, e.delivery)
		c.likes, c.shifts, c.holds = append(c.likes, e.likes), append(c.shifts, e.shift), append(c.holds, string(e.hold))
		c.failures, c.lookFirst = append(c.failures, e.failure), append(c.lookFirst, e.lookFirst)
	}
	return c
}

func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// versionUUID derives the file's uuid from the identity of the version and its delivery. So a
// ledger restored from an older backup assigns the same uuids, object keys and message ids.
func versionUUID(serverUUID string, e entry) string {
	name := fmt.Appendf(nil, "%d/%d/%s", e.Size, e.ModTime.Unix(), e.Path)
	if e.delivery > 0 {
		name = fmt.Appendf(name, "\x00delivery %d", e.delivery)
	}
	return uuid.NewSHA1(uuid.MustParse(serverUUID), name).String()
}
