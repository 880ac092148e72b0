package audit

import (
	"slices"

	"stevedore/internal/ingest"
)

// beside puts what the places have beside what is wrong.
func beside(sides ingest.AuditSides, found ...Difference) []Difference {
	for i := range found {
		found[i].Sides = sides
	}
	return found
}

// inLedger is what a row has, and no other place: they were not looked at.
func inLedger(f ingest.File, state ingest.SideState) (s ingest.AuditSides) {
	s.Ledger = ingest.AuditSide{State: state, Status: f.Status, Size: &f.Size, SHA256: f.Hash, ModTime: f.ModTime.UTC()}
	return s
}

// sides is what the ledger, the store and the announcements on record have of a
// completed file. Its source may be gone by now, as it should.
func (r rules) sides(row Row, objects []StoredObject) ingest.AuditSides {
	s := inLedger(row.File, ingest.SideSame)
	s.Object = stored(row.File, objects)
	s.Notification.State = ingest.SideMissing
	if slices.ContainsFunc(row.Events, func(e ingest.StoredEvent) bool { return e.Type == ingest.EventNotified }) {
		s.Notification.State = ingest.SideSame
	}
	odd := slices.ContainsFunc(r.events(row), func(d Difference) bool { return d.Mark == Wrong })
	if odd || row.File.ObjectKey == "" {
		s.Ledger.State = ingest.SideWrong
	}
	return s
}

// stored is what the store has of a completed file.
func stored(f ingest.File, objects []StoredObject) ingest.AuditSide {
	switch len(objects) {
	case 0:
		return ingest.AuditSide{State: ingest.SideMissing}
	case 1:
	default:
		return ingest.AuditSide{State: ingest.SideExtra, Count: int64(len(objects))}
	}
	o := objects[0]
	side := ingest.AuditSide{State: ingest.SideSame, Size: &o.Size, SHA256: ingest.DisplayPath(o.MetaSHA256)}
	if o.SHA256 != "" {
		side.SHA256 = o.SHA256
	}
	if o.Size != f.Size || o.proof(f) != "" || o.SHA256 != "" && o.SHA256 != f.Hash {
		side.State = ingest.SideWrong
	}
	return side
}

// unseen is what is known of a place that could not be looked at to its end.
func unseen(server, path string) subject {
	d := at(server, path)
	d.Sides.Source.State = ingest.SideWrong
	return d
}
