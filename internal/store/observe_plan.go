package store

import (
	"cmp"
	"fmt"
	"time"

	"stevedore/internal/ingest"
)

// entry is an observation and the row it belongs to, if any.
type entry struct {
	ingest.Observation
	// id is the row to change, 0 for a new one.
	id int64
	// sidecarStale and markerStale report that the companion belongs to another version.
	sidecarStale, markerStale bool
	// asListed reports that the observation shows the version of the row as listings do.
	asListed bool
	// changes and clock count changes in a row since that time, see ingest.SourceState.
	changes, clock int
	since          time.Time
	// knownID is the completed version that differs only in its time, by shift seconds; hold is the
	// resulting state.
	knownID, shift *int64
	hold           ingest.Hold
	// movedFrom is a file that was probably moved to this path.
	movedFrom *int64
	// failedReads counts ingests in a row that failed because the file changed or was missing. statFirst requires a STAT of the
	// file before the next one.
	failedReads int
	statFirst   bool
	// failure is the reason to give the file up; empty if it is not given up.
	failure  string
	delivery int
}

// distinct returns the observations as entries, one for each path. The later of two observations
// of a path counts. Times are truncated to seconds, and a negative size rejects the entry.
func distinct(seen []ingest.Observation) []entry {
	entries := make([]entry, 0, len(seen))
	index := make(map[string]int, len(seen))
	for _, o := range seen {
		o.ModTime = o.ModTime.UTC().Truncate(time.Second)
		if o.Size < 0 && o.Rejected == "" {
			o.Rejected = fmt.Sprintf("has an invalid size, %d", o.Size)
		}
		o.Size = max(o.Size, 0)
		if i, twice := index[o.Path]; twice {
			entries[i].Observation = o
			continue
		}
		index[o.Path] = len(entries)
		entries = append(entries, entry{Observation: o})
	}
	return entries
}

// rules are the inputs of a decision other than the ledger.
type rules struct {
	identity ingest.Identity
	resent   ingest.Resent
	moved    ingest.Moved
	// neverHold disables holding of changes.
	neverHold bool
	// stat reports that the observations are STATs of single files, which override listings.
	stat bool
	// settle is the server's settle time.
	settle time.Duration
	// now is the time of the database's clock.
	now time.Time
}

// timeless reports whether a new time alone is not a new version.
func (r rules) timeless() bool {
	return r.identity.Timeless()
}

// plan lists the changes to rows.
type plan struct {
	rules
	// supersede: settling rows whose path shows another version now.
	supersede []entry
	// seenAgain: settling rows seen again unchanged.
	seenAgain []entry
	// resettle: rows still being written; they restart settling as the same file.
	resettle []entry
	// failAgain: rows found changed during ingest, or missing, too often.
	failAgain []entry
	// reopen: closed rows whose version is on the server again.
	reopen []entry
	// setShown: rows that listings show differently than a STAT; entries with a zero time clear that.
	setShown []entry
	// markResent: completed rows shown again after their source was deleted or moved.
	markResent []entry
	// insert: new versions.
	insert []entry
	// same counts the ingested versions that are unchanged on the server.
	same int64
	// unrecorded counts rejected entries without a row.
	unrecorded int64
}

// empty reports whether the plan has no changes.
func (p plan) empty() bool {
	return len(p.supersede)+len(p.seenAgain)+len(p.resettle)+len(p.failAgain)+len(p.reopen)+len(p.setShown)+len(p.markResent)+len(p.insert) == 0
}

// decide plans the changes for the entries, given their state in the ledger.
func decide(r rules, entries []entry, ledger []known) plan {
	p := plan{rules: r}
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
	live := k.version != 0 && k.status != ingest.StatusVanished && k.status != ingest.StatusSuperseded
	switch {
	case live:
		p.known(e, k)
	case k.listedRow != 0 && !p.stat:
		p.knownAsListed(e, k)
	case k.version != 0:
		p.known(e, k)
	case k.settling.id != 0:
		p.changed(e, k, k.settling)
	case k.unsettled.id != 0:
		p.changed(e, k, k.unsettled)
	default:
		p.unknown(e, k)
	}
}

// known handles a version that has a row. A newer settling version of the path is superseded:
// the server has reverted it, or the listing that found it was wrong.
func (p *plan) known(e entry, k known) {
	if k.settling.id != 0 {
		p.supersede = append(p.supersede, e.of(k.settling.id))
		if p.stat {
			p.setShown = append(p.setShown, e.of(k.version).showing(k.settling.size, k.settling.mtime))
		}
	} else if k.shown && !p.stat {
		p.setShown = append(p.setShown, e.of(k.version).showing(0, time.Time{}))
	}
	if k.status == ingest.StatusCompleted || k.status == ingest.StatusSuperseded && k.closed == ingest.KindSameContent {
		p.same++
	}
	switch {
	case k.status == ingest.StatusDiscovered, k.version == k.unsettled.id:
		p.seenAgain = append(p.seenAgain, e.of(k.version))
	case k.status == ingest.StatusCompleted && k.gone && !p.stat:
		p.sentAgain(e, k)
	case k.status == ingest.StatusSuperseded && k.closed == ingest.KindSameContent:
	case k.status == ingest.StatusVanished, k.status == ingest.StatusSuperseded:
		p.reappeared(e, k)
	}
}

// reappeared handles a closed version that is on the server again. If the file changed while it
// was read but shows the same version, a STAT is required before the next ingest, and the
// number of ingests is limited. So is the number of times that the server does not find a listed
// file: otherwise the file would vanish and reappear for ever, and nothing would report it.
func (p *plan) reappeared(e entry, k known) {
	if p.sameBefore(e, k.past) {
		return
	}
	e = p.withTimeShift(e, k.past).of(k.version)
	e.delivery = k.delivery
	missing := k.status == ingest.StatusVanished && k.closed == ingest.KindNotFound
	switch {
	case missing:
		e.failedReads = k.failedReads + 1
	case k.status == ingest.StatusSuperseded && k.closed == ingest.KindChanged:
		e.failedReads, e.statFirst = k.failedReads+1, !p.stat
	}
	switch {
	case e.failedReads < ingest.MaxFailedReads:
		p.reopen = append(p.reopen, e)
	case missing:
		p.failAgain = append(p.failAgain, e.failed(ingest.ListedButMissing(e.failedReads)))
	default:
		p.failAgain = append(p.failAgain, e.failed(ingest.AlwaysChanged(e.failedReads, k.lastError)))
	}
}

// knownAsListed handles an observation that matches a row as listings show it.
func (p *plan) knownAsListed(e entry, k known) {
	if k.settling.id != 0 && k.settling.id != k.listedRow {
		p.supersede = append(p.supersede, e.of(k.settling.id))
	}
	switch {
	case k.listedStatus == ingest.StatusDiscovered, k.listedRow == k.unsettled.id:
		e.asListed = true
		p.seenAgain = append(p.seenAgain, e.of(k.listedRow))
	case k.listedStatus == ingest.StatusCompleted && !k.listedGone:
		p.same++
	case k.listedStatus == ingest.StatusCompleted:
		p.markResent = append(p.markResent, e.of(k.listedRow))
	}
}

// sentAgain handles a completed version whose source was deleted or moved and is shown again.
// It counts from the second listing, because a listing that began before the deletion may show
// it once more.
//
// A server may report a deletion that it did not carry out. So after quickDeliveries
// deliveries, each further one requires a day since the previous deletion.
func (p *plan) sentAgain(e entry, k known) {
	e = e.of(k.version)
	if p.resent == ingest.ResentDeliver && k.back > 0 && (k.delivery < quickDeliveries || k.goneForADay) {
		e.delivery = k.delivery + 1
		p.insert = append(p.insert, e)
		return
	}
	p.markResent = append(p.markResent, e)
}

// quickDeliveries is the number of further deliveries of a version accepted without delay.
const quickDeliveries = 3

// changed handles a path whose settling or unsettled row has another version.
func (p *plan) changed(e entry, k known, was settlingRow) {
	e = e.of(was.id)
	if p.timeless() && was.size == e.Size {
		p.seenAgain = append(p.seenAgain, e)
		return
	}
	e = p.withTimeShift(e, k.past)
	e.changes, e.clock, e.since = was.changes+1, 0, was.unsettled
	if e.since.After(p.now) { // the clock was set back
		e.since = p.now
	}
	moved := e.ModTime.Sub(was.mtime)
	if was.size == e.Size && moved > 0 && (moved-p.now.Sub(was.lastSeen)).Abs() <= clockTolerance {
		e.clock = was.clockChanges + 1
	}
	patience := ingest.UnsettledFor
	if e.Size > was.size {
		patience = ingest.GrowingFor
	}
	if k.unsettled.id == was.id || e.changes >= ingest.UnsettledChanges && p.now.Sub(e.since) >= patience {
		sight := ingest.SourceState{Changes: e.changes, ClockChanges: e.clock, UnsettledSince: e.since}
		e = e.failed(sight.Unsettled())
		if was.failedReads >= ingest.MaxFailedReads {
			e = e.failed(cmp.Or(was.lastError, ingest.AlwaysChanged(was.failedReads, "")))
		}
	}
	p.resettle = append(p.resettle, e)
}

// clockTolerance is the largest difference between the elapsed time and the change of a file's
// time for a file that shows the current time: both are in whole seconds.
const clockTolerance = 2 * time.Second

// unknown handles a version without a live row of its path.
func (p *plan) unknown(e entry, k known) {
	if p.sameBefore(e, k.past) {
		return
	}
	e = p.withTimeShift(e, k.past)
	if e.knownID != nil && k.past.same != 0 && p.timeless() {
		p.reopen = append(p.reopen, e.of(k.past.same)) // one row for all times of this content
		return
	}
	if k.past.last != 0 {
		e.failedReads = k.past.failedReads + 1
	}
	if e.failedReads >= ingest.MaxFailedReads {
		p.failAgain = append(p.failAgain, e.of(k.past.last).failed(ingest.AlwaysChanged(e.failedReads, k.past.lastError)))
		return
	}
	p.insert = append(p.insert, e)
}

// sameBefore reports whether the entry is the version in flight or ingested, by the server's
// identity rule. A completed version whose source was deleted or moved is excluded, because
// the file is another delivery.
func (p *plan) sameBefore(e entry, before past) bool {
	if p.timeless() && !before.latest.Terminal() && before.latest != "" && before.latestSize == e.Size {
		return true
	}
	return p.identity == ingest.IdentitySize && before.completed != 0 && before.size == e.Size && !before.gone
}

// withTimeShift returns the entry with knownID, shift and hold set if it differs from the completed
// version only in its time.
func (p *plan) withTimeShift(e entry, before past) entry {
	if before.completed == 0 || before.gone || before.size != e.Size || before.mtime.Equal(e.ModTime) {
		return e
	}
	shift := e.ModTime.Sub(before.mtime)
	e.knownID, e.shift = &before.completed, new(int64(shift/time.Second))
	switch {
	case p.timeless(), p.neverHold:
	case shift.Abs() <= timePrecision && p.settle > timePrecision:
		e.hold = ingest.HoldHeld
	case e.ModTime.After(before.readFrom.Add(-clockTolerance)) && e.ModTime.Before(before.readTo.Add(clockTolerance)):
		e.hold = ingest.HoldHeld // reading the file changed its time
	default:
		e.hold = ingest.HoldUnjudged
	}
	return e
}

// timePrecision is the precision of times on some file systems. A time within it is more
// probably rounded than that of a new version: the earlier one was unchanged for the
// settle time.
const timePrecision = 2 * time.Second

// reject supersedes settling versions of the path, because the entry has replaced them. A path
// is recorded as rejected once.
func (p *plan) reject(e entry, k known) {
	if k.settling.id != 0 {
		p.supersede = append(p.supersede, e.of(k.settling.id))
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

// failed returns the entry with a reason to give it up.
func (e entry) failed(reason string) entry {
	e.failure = reason
	return e
}

// showing returns the entry with the size and time of listings; zero values clear them.
func (e entry) showing(size int64, at time.Time) entry {
	e.Size, e.ModTime = size, at
	return e
}
