package oracle

import (
	"slices"
	"strconv"
	"strings"

	"stevedore/internal/ingest"
)

// rules judge one file and one source entry.
type rules struct {
	// final says that all work must have come to its end. Without it, files on
	// their way are pending and not different, and sources may be gone.
	final bool
}

// verdict is what is wrong with one file or entry. Pending ones are on their
// way: nothing is wrong with them yet.
type verdict struct {
	differences []Difference
	pending     bool
}

func wrong(d ...Difference) verdict { return verdict{differences: d} }

// file judges a row by its events and by the objects found under its key,
// which matter only if it is completed or was not taken.
func (r rules) file(row Row, objects []StoredObject) verdict {
	f := row.File
	switch {
	case f.Status == ingest.StatusCompleted:
		return wrong(beside(r.sides(row, objects), append(r.object(f, objects), r.events(row)...)...)...)
	case notTaken(f) && len(objects) > 0:
		return wrong(extraOf(f, f.ObjectKey))
	case f.Status.Terminal():
		return verdict{}
	case f.Status == ingest.StatusError:
		return wrong(beside(inLedger(f, ingest.SideWrong), of(f).why(Wrong, "it waits for an operator: %s", reason(f)))...)
	case r.final:
		return wrong(beside(inLedger(f, ingest.SideWrong), of(f).why(Wrong, "it is %s: %s", f.Status, reason(f)))...)
	default:
		return verdict{pending: true}
	}
}

func reason(f ingest.File) string {
	if f.ErrorMessage == "" {
		return "no error is on record"
	}
	return f.ErrorMessage
}

func (r rules) object(f ingest.File, objects []StoredObject) []Difference {
	d := of(f)
	switch {
	case f.ObjectKey == "":
		return []Difference{d.why(Missing, "it is completed and the row names no object")}
	case len(objects) == 0:
		return []Difference{d.why(Missing, "there is no object %s", f.ObjectKey)}
	case len(objects) > 1:
		return []Difference{d.why(Extra, "there are %d objects %s", len(objects), f.ObjectKey)}
	}
	var faults []string
	o := objects[0]
	if o.Size != f.Size {
		faults = append(faults, "has "+bytes(o.Size)+", the row says "+bytes(f.Size))
	}
	if fault := o.proof(f); fault != "" {
		faults = append(faults, fault)
	}
	if o.SHA256 != "" && o.SHA256 != f.Hash {
		faults = append(faults, "has bytes of SHA-256 "+o.SHA256+", the row says "+f.Hash)
	}
	if len(faults) == 0 {
		return nil
	}
	return []Difference{d.why(Wrong, "object %s %s", o.Key, strings.Join(faults, "; "))}
}

// proof returns what is wrong with what the store says of the object's content:
// the hash in its metadata or, after a direct transfer, the checksum of its parts.
func (o StoredObject) proof(f ingest.File) string {
	switch {
	case o.MetaSHA256 == f.Hash:
		return ""
	case o.MetaSHA256 != "":
		return "names SHA-256 " + o.MetaSHA256 + " in its metadata, the row says " + f.Hash
	case f.Mode != ingest.ModeDirect:
		return "has no SHA-256 in its metadata"
	case f.Checksum == "" || o.Checksum != f.Checksum:
		return "has the checksum " + o.Checksum + ", the row says " + f.Checksum
	default:
		return ""
	}
}

// direct lists the events of a direct transfer in parts, whose upload starts
// before all bytes are read. One of a single part has the order of the other
// modes.
var direct = []ingest.EventType{
	ingest.EventDiscovered, ingest.EventSettled, ingest.EventDownloadStarted, ingest.EventUploadStart, ingest.EventDownloaded,
	ingest.EventVerified, ingest.EventUploaded, ingest.EventNotified,
}

// inOrder returns the events that a file has exactly once without an operator's
// help, in the order they must have.
func inOrder(mode ingest.Mode, order []ingest.EventType) []ingest.EventType {
	early := slices.Index(order, ingest.EventUploadStart) < slices.Index(order, ingest.EventDownloaded)
	if mode == ingest.ModeDirect && early {
		return direct
	}
	return once
}

// once lists the events of the other modes, in their order.
var once = []ingest.EventType{
	ingest.EventDiscovered, ingest.EventSettled, ingest.EventDownloadStarted, ingest.EventDownloaded,
	ingest.EventVerified, ingest.EventUploadStart, ingest.EventUploaded, ingest.EventNotified,
}

// events checks that a completed file was announced, and that its events are
// complete, in order and not doubled. A file that was sent round again may
// repeat them.
func (r rules) events(row Row) (found []Difference) {
	notified := slices.ContainsFunc(row.Events, func(e ingest.StoredEvent) bool { return e.Type == ingest.EventNotified })
	if !notified {
		found = append(found, of(row.File).why(Missing, "the ledger has no event %s: it may never have been announced", ingest.EventNotified))
	}
	if row.File.Round > 0 {
		return found
	}
	var order []ingest.EventType
	for _, e := range row.Events {
		if slices.Contains(once, e.Type) && !r.again(order, e.Type) {
			order = append(order, e.Type)
		}
	}
	must := inOrder(row.File.Mode, order)
	if !notified {
		must = must[:len(must)-1]
	}
	if !slices.Equal(order, must) {
		found = append(found, of(row.File).why(Wrong, "its events are %v, they must be %v", order, must))
	}
	return found
}

// again reports whether the event may be there once more: bytes that did not
// fit what the source says of them are fetched anew, and are then others.
func (r rules) again(before []ingest.EventType, next ingest.EventType) bool {
	return !r.final && next == ingest.EventDownloaded && len(before) > 0 && before[len(before)-1] == next
}

// messages checks that a completed file has at least one, all with one id.
func (r rules) messages(f ingest.File, messages []Message) (found []Difference) {
	var ids []string
	for _, m := range messages {
		ids = append(ids, m.ID)
		if m.SHA256 != f.Hash {
			found = append(found, of(f).why(Wrong, "message %s announces sha256 %s, the row says %s", m.ID, m.SHA256, f.Hash))
		}
	}
	slices.Sort(ids)
	switch ids = slices.Compact(ids); {
	case len(ids) == 0:
		found = append(found, of(f).why(Missing, "the queue never had its announcement"))
	case len(ids) > 1:
		found = append(found, of(f).why(Extra, "it was announced under %d message ids", len(ids)))
	}
	return found
}

// source judges an entry by the rows that the ledger has for its path, or at
// least those that are its version, settle, or are rejected. What becomes of a
// row that is there is judged with the row.
func (r rules) source(s Source, rows []ingest.File) verdict {
	d := at(s.Server, s.Path)
	d.Sides.Source = ingest.AuditSide{State: ingest.SideSame, Size: &s.Size, SHA256: s.SHA256, ModTime: s.ModTime.UTC()}
	d.Sides.Ledger.State = ingest.SideMissing
	var same, completed []ingest.File
	for _, f := range rows {
		if !s.is(f) {
			continue
		}
		same = append(same, f)
		if f.Status == ingest.StatusCompleted {
			completed = s.latest(completed, f)
		}
	}
	switch {
	case len(completed) > 1:
		d.Sides.Ledger = ingest.AuditSide{State: ingest.SideExtra, Status: ingest.StatusCompleted, Count: int64(len(completed))}
		return wrong(d.why(Extra, "%d completed rows have its content", len(completed)))
	case len(completed) == 1 && s.SHA256 != "" && completed[0].Size != s.Size:
		d.Sides.Ledger = inLedger(completed[0], ingest.SideWrong).Ledger
		return wrong(d.why(Wrong, "the row has %s, the source %s", bytes(completed[0].Size), bytes(s.Size)))
	case len(completed) == 1 && completed[0].SourceLeft != "" && !r.final:
		d.Sides.Ledger = inLedger(completed[0], ingest.SideSame).Ledger
		return wrong(d.why(Extra, "it was taken and should have been deleted or moved: %s", completed[0].SourceLeft))
	case len(completed) == 1 && !r.final && !completed[0].SourceGoneAt.IsZero():
		return s.there(d, completed[0])
	case len(completed) == 1:
		return verdict{}
	case r.final:
		return wrong(d.why(Missing, "no completed row has its content"))
	default:
		return s.untaken(d, same, rows)
	}
}

// is reports whether the row is of this version.
func (s Source) is(f ingest.File) bool {
	if s.SHA256 != "" {
		return f.Hash == s.SHA256
	}
	if f.Size == s.Size && (f.ModTime.Unix() == s.ModTime.Unix() || f.Timeless()) {
		return true
	}
	return !f.ShownTime.IsZero() && f.ShownSize == s.Size && f.ShownTime.Unix() == s.ModTime.Unix()
}

// latest adds a completed row to those that an entry may stand for; of several
// deliveries of one version the last one counts.
func (s Source) latest(completed []ingest.File, f ingest.File) []ingest.File {
	for i, other := range completed {
		if s.SHA256 == "" && other.Delivery != f.Delivery && other.RemotePath == f.RemotePath {
			if f.Delivery > other.Delivery {
				completed[i] = f
			}
			return completed
		}
	}
	return append(completed, f)
}

// there judges an entry whose file was taken, and deleted or moved on the server.
func (s Source) there(d Difference, f ingest.File) verdict {
	if !s.Listed.After(f.SourceGoneAt) {
		return verdict{pending: true} // it was listed before, or just then
	}
	d.Sides.Ledger = inLedger(f, ingest.SideWrong).Ledger
	return wrong(d.why(Wrong, "it was taken, and deleted or moved on %s, and the server has it still or again: it is not taken again",
		f.SourceGoneAt.UTC().Format("2006-01-02 15:04:05Z")))
}

// untaken judges an entry of a working system that no completed row stands for.
func (s Source) untaken(d Difference, same, rows []ingest.File) verdict {
	var aside ingest.Status
	for _, f := range same {
		if f.ErrorKind == ingest.KindSameContent {
			return verdict{} // it is the version that was taken before, under another time
		}
		switch f.Status {
		case ingest.StatusVanished, ingest.StatusSuperseded, ingest.StatusRejected:
			aside, d.Sides.Ledger = f.Status, inLedger(f, ingest.SideWrong).Ledger
		default:
			return verdict{} // on its way, parked or skipped: its row says so
		}
	}
	has := func(status ingest.Status) bool {
		return slices.ContainsFunc(rows, func(f ingest.File) bool { return f.Status == status })
	}
	if slices.ContainsFunc(rows, func(f ingest.File) bool {
		return f.Status == ingest.StatusError && f.ErrorKind == ingest.KindUnsettled
	}) {
		return verdict{} // it never settles: the row says so
	}
	switch {
	case s.Rejected != "" && has(ingest.StatusRejected):
		return verdict{} // it stands visibly in a state of its own
	case has(ingest.StatusDiscovered):
		return verdict{} // still being written: the row of what was seen first is pending
	case s.Young:
		return verdict{pending: true}
	case aside == ingest.StatusRejected:
		return wrong(d.why(Missing, "the ledger has rejected it, on the server it is a file that could be taken"))
	case aside != "":
		return wrong(d.why(Missing, "the server has it, the ledger says that it is %s: a scan should take it up again", aside))
	default:
		return wrong(d.why(Missing, "the server has it (%s, modified %s), the ledger has not", bytes(s.Size), s.ModTime.UTC().Format("2006-01-02 15:04:05Z")))
	}
}

func extraObject(key string) Difference {
	d := thing(key).why(Extra, "the store has an object that no row names")
	d.Key = d.What
	d.Sides.Ledger.State, d.Sides.Object.State = ingest.SideMissing, ingest.SideExtra
	return d
}

// extraOf is about an object of a file that was not taken.
func extraOf(f ingest.File, key string) Difference {
	d := of(f).why(Extra, "the store has object %s, the ledger says that the file is %s", key, f.Status)
	d.Key, d.Sides = ingest.DisplayPath(key), inLedger(f, ingest.SideWrong)
	d.Sides.Object.State = ingest.SideExtra
	return d
}

// notTaken reports whether the file ended without an object of ours. An operator
// may skip a file whose object is stored.
func notTaken(f ingest.File) bool {
	return f.Status == ingest.StatusVanished || f.Status == ingest.StatusSuperseded
}

// mayHaveObject reports whether the row is judged by its object.
func mayHaveObject(f ingest.File) bool {
	return f.ObjectKey != "" && (f.Status == ingest.StatusCompleted || notTaken(f))
}

func bytes(n int64) string { return strconv.FormatInt(n, 10) + " bytes" }
