package audit

import (
	"slices"

	"stevedore/internal/ingest"
)

// withSides sets the sides of discrepancies.
func withSides(sides ingest.AuditSides, found ...Discrepancy) []Discrepancy {
	for i := range found {
		found[i].Sides = sides
	}
	return found
}

// ledgerSide returns sides with the row's values. The other sides were not read.
func ledgerSide(f ingest.File, state ingest.SideState) (s ingest.AuditSides) {
	s.Ledger = ingest.AuditSide{State: state, Status: f.Status, Size: &f.Size, SHA256: f.Hash, ModTime: f.ModTime.UTC()}
	return s
}

// sides returns the values of a completed file in ledger, store and recorded
// notifications. Its source is not compared, because it may be gone.
func (c checker) sides(row Row, objects []StoredObject) ingest.AuditSides {
	s := ledgerSide(row.File, ingest.SideSame)
	s.Object = objectSide(row.File, objects)
	s.Notification.State = ingest.SideMissing
	if notified(row) {
		s.Notification.State = ingest.SideSame
	}
	wrong := slices.ContainsFunc(c.events(row), func(d Discrepancy) bool { return d.Mark == Wrong })
	if wrong || row.File.ObjectKey == "" {
		s.Ledger.State = ingest.SideWrong
	}
	return s
}

// objectSide returns the values of a completed file in the store.
func objectSide(f ingest.File, objects []StoredObject) ingest.AuditSide {
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
	if len(o.faults(f)) > 0 {
		side.State = ingest.SideWrong
	}
	return side
}
