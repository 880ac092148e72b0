package audit

import (
	"slices"
	"strconv"
	"strings"

	"stevedore/internal/ingest"
)

// checker has the rules for one file and one source entry.
type checker struct {
	// final: all work has ended. Without it, files in flight are pending and no
	// discrepancy, and sources may be gone.
	final bool
}

// result is the result for one file or entry. Pending: it is in flight, so it is not
// checked yet.
type result struct {
	discrepancies []Discrepancy
	pending       bool
}

func discrepant(d ...Discrepancy) result { return result{discrepancies: d} }

// file checks a row by its events and the objects under its key. Objects are compared
// only if the row is completed or ended without an object.
func (c checker) file(row Row, objects []StoredObject) result {
	f := row.File
	needsAttention := func(format string, args ...any) result {
		return discrepant(withSides(ledgerSide(f, ingest.SideWrong), fileSubject(f).discrepancy(Wrong, format, args...))...)
	}
	switch {
	case f.Status == ingest.StatusCompleted:
		return discrepant(withSides(c.sides(row, objects), append(c.object(f, objects), c.events(row)...)...)...)
	case endedWithoutObject(f) && len(objects) > 0:
		return discrepant(objectOfEndedFile(f, f.ObjectKey))
	case f.Status.Terminal():
		return result{}
	case f.Status == ingest.StatusError:
		return needsAttention("it waits for an operator: %s", reason(f))
	case c.final:
		return needsAttention("it is %s: %s", f.Status, reason(f))
	default:
		return result{pending: true}
	}
}

func reason(f ingest.File) string {
	if f.ErrorMessage == "" {
		return "no error is recorded"
	}
	return f.ErrorMessage
}

// object compares a completed file with the objects under its key.
func (c checker) object(f ingest.File, objects []StoredObject) []Discrepancy {
	s := fileSubject(f)
	switch {
	case f.ObjectKey == "":
		return []Discrepancy{s.discrepancy(Missing, "it is completed and its row has no object key")}
	case len(objects) == 0:
		return []Discrepancy{s.discrepancy(Missing, "there is no object %s", f.ObjectKey)}
	case len(objects) > 1:
		return []Discrepancy{s.discrepancy(Extra, "there are %d objects %s", len(objects), f.ObjectKey)}
	}
	faults := objects[0].faults(f)
	if len(faults) == 0 {
		return nil
	}
	return []Discrepancy{s.discrepancy(Wrong, "object %s %s", objects[0].Key, strings.Join(faults, "; "))}
}

// faults returns how the object differs from the row.
func (o StoredObject) faults(f ingest.File) (faults []string) {
	if o.Size != f.Size {
		faults = append(faults, "has "+bytes(o.Size)+", the row "+bytes(f.Size))
	}
	if fault := o.metadataFault(f); fault != "" {
		faults = append(faults, fault)
	}
	if o.SHA256 != "" && o.SHA256 != f.Hash {
		faults = append(faults, "has bytes of SHA-256 "+o.SHA256+", the row has "+f.Hash)
	}
	return faults
}

// metadataFault compares the content without reading it: by the SHA-256 in the metadata
// or, after a direct transfer, by the checksum of the parts.
func (o StoredObject) metadataFault(f ingest.File) string {
	switch {
	case o.MetaSHA256 == f.Hash:
		return ""
	case o.MetaSHA256 != "":
		return "has SHA-256 " + o.MetaSHA256 + " in its metadata, the row has " + f.Hash
	case f.Mode != ingest.ModeDirect:
		return "has no SHA-256 in its metadata"
	case f.Checksum == "" || o.Checksum != f.Checksum:
		return "has the checksum " + o.Checksum + ", the row has " + f.Checksum
	default:
		return ""
	}
}

// usualOrder lists the events that a file has exactly once unless an operator acted on it.
// TestTheExpectedEventsAreThoseOfTheChanges compares it with the ledger changes.
var usualOrder = []ingest.EventType{
	ingest.EventDiscovered, ingest.EventSettled, ingest.EventDownloadStarted, ingest.EventDownloaded,
	ingest.EventVerified, ingest.EventUploadStart, ingest.EventUploaded, ingest.EventNotified,
}

// directOrder is the order of a direct transfer in parts, whose upload starts before all
// bytes are read. A transfer of a single part has usualOrder.
var directOrder = []ingest.EventType{
	ingest.EventDiscovered, ingest.EventSettled, ingest.EventDownloadStarted, ingest.EventUploadStart, ingest.EventDownloaded,
	ingest.EventVerified, ingest.EventUploaded, ingest.EventNotified,
}

// expectedEvents returns the expected order of the events of a file in the mode.
func expectedEvents(mode ingest.Mode, order []ingest.EventType) []ingest.EventType {
	early := slices.Index(order, ingest.EventUploadStart) < slices.Index(order, ingest.EventDownloaded)
	if mode == ingest.ModeDirect && early {
		return directOrder
	}
	return usualOrder
}

func notified(row Row) bool {
	return slices.ContainsFunc(row.Events, func(e ingest.StoredEvent) bool { return e.Type == ingest.EventNotified })
}

// events checks that the events of a completed file are complete, in order and not
// repeated. After a retry they may be repeated.
func (c checker) events(row Row) (found []Discrepancy) {
	notified := notified(row)
	if !notified {
		found = append(found, fileSubject(row.File).discrepancy(Missing,
			"the ledger has no event %s: its notification may not have been published", ingest.EventNotified))
	}
	if row.File.Round > 0 {
		return found
	}
	var order []ingest.EventType
	for _, e := range row.Events {
		if slices.Contains(usualOrder, e.Type) && !c.mayRepeat(order, e.Type) {
			order = append(order, e.Type)
		}
	}
	expected := expectedEvents(row.File.Mode, order)
	if !notified {
		expected = expected[:len(expected)-1]
	}
	if !slices.Equal(order, expected) {
		found = append(found, fileSubject(row.File).discrepancy(Wrong, "its events are %v, expected %v", order, expected))
	}
	return found
}

// mayRepeat reports whether the event may follow itself: bytes that do not match the
// source's checksum file are downloaded again.
func (c checker) mayRepeat(before []ingest.EventType, next ingest.EventType) bool {
	return !c.final && next == ingest.EventDownloaded && len(before) > 0 && before[len(before)-1] == next
}

// messages checks that a completed file has at least one message, and that all have one
// id.
func (c checker) messages(f ingest.File, messages []Message) (found []Discrepancy) {
	var ids []string
	for _, m := range messages {
		ids = append(ids, m.ID)
		if m.SHA256 != f.Hash {
			found = append(found, fileSubject(f).discrepancy(Wrong, "message %s has SHA-256 %s, the row has %s", m.ID, m.SHA256, f.Hash))
		}
	}
	slices.Sort(ids)
	switch ids = slices.Compact(ids); {
	case len(ids) == 0:
		found = append(found, fileSubject(f).discrepancy(Missing, "the queue never received its notification"))
	case len(ids) > 1:
		found = append(found, fileSubject(f).discrepancy(Extra, "its notification was published with %d message ids", len(ids)))
	}
	return found
}

// source checks that the ledger has a row for an entry. rows are rows of its path: at
// least those of its version and those that are settling or rejected. The state of a row
// is checked by file.
func (c checker) source(s Source, rows []ingest.File) result {
	d := pathSubject(s.Server, s.Path)
	d.Sides.Source = ingest.AuditSide{State: ingest.SideSame, Size: &s.Size, SHA256: s.SHA256, ModTime: s.ModTime.UTC()}
	d.Sides.Ledger.State = ingest.SideMissing
	var same, completed []ingest.File
	for _, f := range rows {
		if !s.matches(f) {
			continue
		}
		same = append(same, f)
		if f.Status == ingest.StatusCompleted {
			completed = s.addCompleted(completed, f)
		}
	}
	switch {
	case len(completed) > 1:
		d.Sides.Ledger = ingest.AuditSide{State: ingest.SideExtra, Status: ingest.StatusCompleted, Count: int64(len(completed))}
		return discrepant(d.discrepancy(Extra, "%d completed rows have its content", len(completed)))
	case len(completed) == 1 && s.SHA256 != "" && completed[0].Size != s.Size:
		d.Sides.Ledger = ledgerSide(completed[0], ingest.SideWrong).Ledger
		return discrepant(d.discrepancy(Wrong, "the row has %s, the source %s", bytes(completed[0].Size), bytes(s.Size)))
	case len(completed) == 1 && completed[0].SourceLeft != "" && !c.final:
		d.Sides.Ledger = ledgerSide(completed[0], ingest.SideSame).Ledger
		return discrepant(d.discrepancy(Extra, "it is ingested, but could not be deleted or moved: %s", completed[0].SourceLeft))
	case len(completed) == 1 && !c.final && !completed[0].SourceGoneAt.IsZero():
		return s.afterRemoval(d, completed[0])
	case len(completed) == 1:
		return result{}
	case c.final:
		return discrepant(d.discrepancy(Missing, "no completed row has its content"))
	default:
		return s.notCompleted(d, same, rows)
	}
}

// matches reports whether the row is of this version.
func (s Source) matches(f ingest.File) bool {
	if s.SHA256 != "" {
		return f.Hash == s.SHA256
	}
	if f.Size == s.Size && (f.ModTime.Unix() == s.ModTime.Unix() || f.Timeless()) {
		return true
	}
	return !f.ShownTime.IsZero() && f.ShownSize == s.Size && f.ShownTime.Unix() == s.ModTime.Unix()
}

// addCompleted adds a completed row. Of several deliveries of one version only the last
// one is kept.
func (s Source) addCompleted(completed []ingest.File, f ingest.File) []ingest.File {
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

// afterRemoval checks an entry whose file was ingested, and deleted or moved on the
// server. The result is pending if the listing may have preceded the removal.
func (s Source) afterRemoval(d subject, f ingest.File) result {
	if !s.Listed.After(f.SourceGoneAt) {
		return result{pending: true}
	}
	d.Sides.Ledger = ledgerSide(f, ingest.SideWrong).Ledger
	return discrepant(d.discrepancy(Wrong, "it was ingested, deleted or moved on %s, and is on the server again: it is not ingested again",
		f.SourceGoneAt.UTC().Format("2006-01-02 15:04:05Z")))
}

// notCompleted checks an entry of a running system that has no completed row.
func (s Source) notCompleted(d subject, same, rows []ingest.File) result {
	var ended ingest.Status // of a row of this version that ended without being ingested
	for _, f := range same {
		if f.ErrorKind == ingest.KindSameContent {
			return result{} // an ingested version with a new time
		}
		switch f.Status {
		case ingest.StatusVanished, ingest.StatusSuperseded, ingest.StatusRejected:
			ended, d.Sides.Ledger = f.Status, ledgerSide(f, ingest.SideWrong).Ledger
		default:
			return result{} // in flight, failed or skipped: checked with the row
		}
	}
	has := func(status ingest.Status) bool {
		return slices.ContainsFunc(rows, func(f ingest.File) bool { return f.Status == status })
	}
	if slices.ContainsFunc(rows, func(f ingest.File) bool {
		return f.Status == ingest.StatusError && f.ErrorKind == ingest.KindUnsettled
	}) {
		return result{} // it never settles: checked with the row
	}
	switch {
	case s.Rejected != "" && has(ingest.StatusRejected):
		return result{}
	case has(ingest.StatusDiscovered):
		return result{} // still being written: the row of the first observation is pending
	case s.Young:
		return result{pending: true}
	case ended == ingest.StatusRejected:
		return discrepant(d.discrepancy(Missing, "the ledger has rejected it, but it can be ingested"))
	case ended != "":
		return discrepant(d.discrepancy(Missing, "the server has it, in the ledger it is %s: the next scan should find it", ended))
	default:
		return discrepant(d.discrepancy(Missing, "the server has it (%s, modified %s), the ledger has no row",
			bytes(s.Size), s.ModTime.UTC().Format("2006-01-02 15:04:05Z")))
	}
}

func objectWithoutRow(key string) Discrepancy {
	d := itemSubject(key).discrepancy(Extra, "the store has an object without a row")
	d.Sides.Ledger.State, d.Sides.Object.State = ingest.SideMissing, ingest.SideExtra
	return d
}

// objectOfEndedFile is for an object of a file that ended without being ingested.
func objectOfEndedFile(f ingest.File, key string) Discrepancy {
	d := fileSubject(f).discrepancy(Extra, "the store has object %s, in the ledger the file is %s", key, f.Status)
	d.Sides = ledgerSide(f, ingest.SideWrong)
	d.Sides.Object.State = ingest.SideExtra
	return d
}

// endedWithoutObject reports whether the file ended without an object. Skipped files
// are not among them: an operator may skip a file whose object is stored.
func endedWithoutObject(f ingest.File) bool {
	return f.Status == ingest.StatusVanished || f.Status == ingest.StatusSuperseded
}

// mayHaveObject reports whether the row is compared with its object.
func mayHaveObject(f ingest.File) bool {
	return f.ObjectKey != "" && (f.Status == ingest.StatusCompleted || endedWithoutObject(f))
}

func bytes(n int64) string { return strconv.FormatInt(n, 10) + " bytes" }
