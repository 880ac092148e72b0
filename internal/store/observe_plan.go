package store

import (
	"cmp"
	"fmt"
	"time"

	"stevedore/internal/ingest"
)

// entry is an observation as it is recorded, and the row it is about, if any.
type entry struct {
	ingest.Observation
	// id is the row to be changed, 0 for a new one.
	id int64
	// sidecarStale and markerStale say that the companion is not of this version.
	sidecarStale, markerStale bool
	// aliased says that it is how listings show the version of the row.
	aliased bool
	// looks and clock are how often in a row it changed, since when; see ingest.Sight.
	looks, clock int
	since        time.Time
	// likes is the completed version that it differs from only in its time, by shift
	// seconds; hold says what that means.
	likes, shift *int64
	hold         ingest.Hold
	// tries is how often in a row it was found changed; lookFirst asks for a look at
	// the file itself before it is taken up again.
	tries     int
	lookFirst bool
	// why it is given up; empty: it is not.
	why      string
	delivery int
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

// rules are what decides besides the ledger.
type rules struct {
	identity ingest.Identity
	resent   ingest.Resent
	// never says that changes are never held.
	never bool
	// look says that the files themselves were looked at, one by one, which counts
	// more than what a listing shows.
	look bool
	// now is the database's.
	now time.Time
}

// timeless says that a new time alone is no new version.
func (r rules) timeless() bool {
	return r.identity.Timeless()
}

// plan says what is to be done with which rows.
type plan struct {
	rules
	// supersede: another version is on the server while they settle.
	supersede []entry
	// touch: seen again, unchanged.
	touch []entry
	// regrow: still being written; they settle anew, as the same file.
	regrow []entry
	// relapse: found changed while they were read, once too often.
	relapse []entry
	// revive: on the server again after they were gone.
	revive []entry
	// alias: listings show them so; entries without a path: they agree again.
	alias []entry
	// resend: completed ones that are there again after they were deleted or moved.
	resend []entry
	// insert: never seen before.
	insert []entry
	// same counts the versions that were taken and are there as before.
	same int64
	// unrecorded are rejected ones that get no row.
	unrecorded int64
}

// empty reports whether there is nothing to be done.
func (p plan) empty() bool {
	return len(p.supersede)+len(p.touch)+len(p.regrow)+len(p.relapse)+len(p.revive)+len(p.alias)+len(p.resend)+len(p.insert) == 0
}

// decide compares what was seen with what is known.
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
		p.again(e, k)
	case k.alias != 0 && !p.look:
		p.asListed(e, k)
	case k.version != 0:
		p.again(e, k)
	case k.settling.id != 0:
		p.changed(e, k, k.settling)
	case k.unsettled.id != 0:
		p.changed(e, k, k.unsettled)
	default:
		p.first(e, k)
	}
}

// again: the version has a row. If a newer one of the path settles, the server
// has gone back behind it, or the listing that found that one was wrong.
func (p *plan) again(e entry, k known) {
	if k.settling.id != 0 {
		p.supersede = append(p.supersede, e.of(k.settling.id))
		if p.look {
			p.alias = append(p.alias, e.of(k.version).showing(k.settling.size, k.settling.mtime))
		}
	} else if k.shown && !p.look {
		p.alias = append(p.alias, e.of(k.version).showing(0, time.Time{}))
	}
	if k.status == ingest.StatusCompleted || k.status == ingest.StatusSuperseded && k.closed == ingest.KindSameContent {
		p.same++
	}
	switch {
	case k.status == ingest.StatusDiscovered, k.version == k.unsettled.id:
		p.touch = append(p.touch, e.of(k.version))
	case k.status == ingest.StatusCompleted && k.gone && !p.look:
		p.isBack(e, k)
	case k.status == ingest.StatusSuperseded && k.closed == ingest.KindSameContent:
	case k.status == ingest.StatusVanished, k.status == ingest.StatusSuperseded:
		p.isThereAgain(e, k)
	}
}

// isThereAgain: a version that was gone is on the server again. One that was found
// changed while it was read, though the server shows it as before, is looked at
// itself before it is taken up again, and not too often.
func (p *plan) isThereAgain(e entry, k known) {
	if p.sameBefore(e, k.past) {
		return
	}
	e = p.like(e, k.past).of(k.version)
	e.delivery = k.delivery
	if k.status == ingest.StatusSuperseded && k.closed == ingest.KindChanged {
		e.tries, e.lookFirst = k.tries+1, !p.look
	}
	if e.tries >= ingest.ChangedTries {
		p.relapse = append(p.relapse, e.failed(ingest.AlwaysChanged(e.tries, k.said)))
	} else {
		p.revive = append(p.revive, e)
	}
}

// asListed: listings show the version of another row so.
func (p *plan) asListed(e entry, k known) {
	if k.settling.id != 0 && k.settling.id != k.alias {
		p.supersede = append(p.supersede, e.of(k.settling.id))
	}
	switch {
	case k.aliasStatus == ingest.StatusDiscovered, k.alias == k.unsettled.id:
		e.aliased = true
		p.touch = append(p.touch, e.of(k.alias))
	case k.aliasStatus == ingest.StatusCompleted && !k.aliasGone:
		p.same++
	case k.aliasStatus == ingest.StatusCompleted:
		p.resend = append(p.resend, e.of(k.alias))
	}
}

// isBack: the source of a completed version was deleted or moved, and it is there
// again. A listing that began before may show it once more; so it counts from the
// second one on.
//
// A server may say that it has deleted and have not: from some deliveries on, each
// needs a day since the one before.
func (p *plan) isBack(e entry, k known) {
	e = e.of(k.version)
	if p.resent == ingest.ResentDeliver && k.back > 0 && (k.delivery < quickDeliveries || k.longGone) {
		e.delivery = k.delivery + 1
		p.insert = append(p.insert, e)
		return
	}
	p.resend = append(p.resend, e)
}

// quickDeliveries is how many further deliveries of a version may follow at once.
const quickDeliveries = 3

// changed: the path settles as another version, or has never settled.
func (p *plan) changed(e entry, k known, was settlingRow) {
	e = e.of(was.id)
	if p.timeless() && was.size == e.Size {
		p.touch = append(p.touch, e)
		return
	}
	e = p.like(e, k.past)
	e.looks, e.clock, e.since = was.looks+1, 0, was.unsettled
	if e.since.After(p.now) { // the clock went back
		e.since = p.now
	}
	moved := e.ModTime.Sub(was.mtime)
	if was.size == e.Size && moved > 0 && (moved-p.now.Sub(was.lastSeen)).Abs() <= clockTolerance {
		e.clock = was.clockLooks + 1
	}
	patience := ingest.UnsettledFor
	if e.Size > was.size {
		patience = ingest.GrowingFor
	}
	if k.unsettled.id == was.id || e.looks >= ingest.UnsettledLooks && p.now.Sub(e.since) >= patience {
		sight := ingest.Sight{Looks: e.looks, ClockLooks: e.clock, UnsettledSince: e.since}
		e = e.failed(sight.Unsettled())
		if was.tries >= ingest.ChangedTries {
			e = e.failed(cmp.Or(was.said, ingest.AlwaysChanged(was.tries, "")))
		}
	}
	p.regrow = append(p.regrow, e)
}

// clockTolerance is how far the time of a file and of the look at it may be apart
// for one that shows the present moment: both are in whole seconds.
const clockTolerance = 2 * time.Second

// first: nothing of the path is on its way.
func (p *plan) first(e entry, k known) {
	if p.sameBefore(e, k.past) {
		return
	}
	e = p.like(e, k.past)
	if e.likes != nil && k.past.same != 0 && p.timeless() {
		p.revive = append(p.revive, e.of(k.past.same)) // one row for all times that this content has
		return
	}
	if k.past.last != 0 {
		e.tries = k.past.tries + 1
	}
	if e.tries >= ingest.ChangedTries {
		p.relapse = append(p.relapse, e.of(k.past.last).failed(ingest.AlwaysChanged(e.tries, k.past.said)))
		return
	}
	p.insert = append(p.insert, e)
}

// sameBefore: by the server's rule it is the version that is on its way or was
// taken, unless that was deleted or moved since: then what is there now is another
// delivery.
func (p *plan) sameBefore(e entry, before past) bool {
	if p.timeless() && !before.latest.Terminal() && before.latest != "" && before.latestSize == e.Size {
		return true
	}
	return p.identity == ingest.IdentitySize && before.taken != 0 && before.size == e.Size && !before.gone
}

// like notes that the version differs from the one that was taken only in its time.
func (p *plan) like(e entry, before past) entry {
	if before.taken == 0 || before.gone || before.size != e.Size || before.mtime.Equal(e.ModTime) {
		return e
	}
	e.likes, e.shift = &before.taken, new(int64(e.ModTime.Sub(before.mtime)/time.Second))
	switch {
	case p.timeless(), p.never:
	case e.ModTime.After(before.readFrom.Add(-clockTolerance)) && e.ModTime.Before(before.readTo.Add(clockTolerance)):
		e.hold = ingest.HoldHeld // its time is that of our own reading
	default:
		e.hold = ingest.HoldUnjudged
	}
	return e
}

// reject: what settles under the path must not become ready, because there is
// something else now. A path is put on record as rejected once.
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

// failed returns the entry as one that is given up.
func (e entry) failed(why string) entry {
	e.why = why
	return e
}

// showing returns the entry with what listings show; a size of 0 and no time: the
// version itself.
func (e entry) showing(size int64, at time.Time) entry {
	e.Size, e.ModTime = size, at
	return e
}
