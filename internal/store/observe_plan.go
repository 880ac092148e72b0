package store

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"stevedore/internal/ingest"
)

// entry is an observation as it is recorded, and the row it is about, if any.
type entry struct {
	ingest.Observation
	// id is the row to be changed, 0 for a new one.
	id int64
	// sidecarStale and markerStale say that the companion is not of this version.
	sidecarStale, markerStale bool
}

// distinct makes observations fit to be recorded: a listing can hold a name
// twice, of which the later one counts; times are whole seconds; a size that
// cannot be is a reason to reject.
func distinct(seen []ingest.Observation) []entry {
	entries := make([]entry, 0, len(seen))
	place := make(map[string]int, len(seen))
	for _, o := range seen {
		o.ModTime = o.ModTime.UTC().Truncate(time.Second)
		if o.Size < 0 && o.Rejected == "" {
			o.Rejected = fmt.Sprintf("size %d cannot be", o.Size)
		}
		o.Size = max(o.Size, 0)
		if i, twice := place[o.Path]; twice {
			entries[i].Observation = o
			continue
		}
		place[o.Path] = len(entries)
		entries = append(entries, entry{Observation: o})
	}
	return entries
}

// known is what the ledger has of an observed path.
type known struct {
	// version is the row of the observed version and status its status; 0 if none.
	version int64
	status  ingest.Status
	// settling is the discovered row of another version of the path; 0 if none.
	settling int64
	// rejected says that the path is on record as rejected.
	rejected bool
}

// plan says what is to be done with which rows.
type plan struct {
	// supersede: another version is on the server while they settle.
	supersede []entry
	// touch: seen again, unchanged.
	touch []entry
	// regrow: still being written; they settle anew, as the same file.
	regrow []entry
	// revive: on the server again after they were gone.
	revive []entry
	// insert: never seen before.
	insert []entry
	// unrecorded are rejected ones that get no row.
	unrecorded int64
}

// empty reports whether there is nothing to be done.
func (p plan) empty() bool {
	return len(p.supersede)+len(p.touch)+len(p.regrow)+len(p.revive)+len(p.insert) == 0
}

// decide compares what was seen with what is known.
func decide(entries []entry, ledger []known) plan {
	var p plan
	for i, e := range entries {
		if e.Rejected != "" {
			p.reject(e, ledger[i])
		} else {
			p.accept(e, ledger[i])
		}
	}
	return p
}

func (p *plan) accept(e entry, k known) {
	switch {
	case k.version != 0:
		p.again(e, k)
	case k.settling != 0:
		p.regrow = append(p.regrow, e.of(k.settling))
	default:
		p.insert = append(p.insert, e)
	}
}

// again: the version has a row. If a newer one of the path settles, the server
// has gone back behind it.
func (p *plan) again(e entry, k known) {
	if k.settling != 0 {
		p.supersede = append(p.supersede, e.of(k.settling))
	}
	switch k.status {
	case ingest.StatusDiscovered:
		p.touch = append(p.touch, e.of(k.version))
	case ingest.StatusVanished, ingest.StatusSuperseded:
		p.revive = append(p.revive, e.of(k.version))
	}
}

// reject: what settles under the path must not become ready, because there is
// something else now. A path is put on record as rejected once.
func (p *plan) reject(e entry, k known) {
	if k.settling != 0 {
		p.supersede = append(p.supersede, e.of(k.settling))
	}
	if k.version != 0 && k.status == ingest.StatusDiscovered {
		p.supersede = append(p.supersede, e.of(k.version))
	}
	switch {
	case k.version != 0 || k.rejected:
	case e.Unrecorded:
		p.unrecorded++
	default:
		p.insert = append(p.insert, e)
	}
}

func (e entry) of(row int64) entry {
	e.id = row
	return e
}

// columns are entries as the database takes them, one list per column.
type columns struct {
	ids, sizes         []int64
	paths              [][]byte
	sidecars, markers  companionColumns
	uuids, displays    []string
	waits              []string
	filenames, reasons []string
	mtimes             []time.Time
}

// versionColumns returns what identifies the entries among the files of a server.
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
	}
	return c
}

// versionUUID names the file version. It follows from what identifies the
// version, so that a ledger restored from an older backup gives the same files
// the same uuids, and with them the same objects and messages.
func versionUUID(serverUUID string, e entry) string {
	return uuid.NewSHA1(uuid.MustParse(serverUUID), fmt.Appendf(nil, "%d/%d/%s", e.Size, e.ModTime.Unix(), e.Path)).String()
}
