package openapi

import (
	"stevedore/internal/ingest"
	"stevedore/internal/temporalnames"
)

// FromAuditRun returns an audit as the API shows it.
func FromAuditRun(r ingest.AuditRun) AuditRun {
	return AuditRun{
		AuditUUID: r.UUID, State: AuditState(r.State), Actor: ingest.DisplayPath(r.Actor), ServerUuids: orEmpty(r.Servers), Deep: r.Deep,
		StartedAt: r.StartedAt.UTC(), FinishedAt: timeOrNull(r.FinishedAt), Error: orNull(r.Error),
		Sources: r.Sources, Files: r.Files, Objects: r.Objects, Bytes: r.Bytes, Pending: r.Pending,
		Missing: r.Missing, Extra: r.Extra, Wrong: r.Wrong, NotAudited: r.NotAudited, Differences: r.Discrepancies(), WorkflowID: temporalnames.AuditWorkflowID(r.UUID),
	}
}

// FromDiscrepancy returns a discrepancy as the API shows it.
func FromDiscrepancy(d ingest.Discrepancy) AuditDifference {
	return AuditDifference{
		Mark: AuditDifferenceMark(d.Mark), What: d.What, Why: d.Why, Server: orNull(d.Server), Path: orNull(d.Path), FileUUID: orNull(d.FileUUID),
		Sides: fromAuditSides(d.Sides),
	}
}

// fromAuditSides returns the state in each place as the API shows it.
func fromAuditSides(s ingest.AuditSides) AuditSides {
	return AuditSides{
		Source: fromAuditSide(s.Source), Ledger: fromAuditSide(s.Ledger), Object: fromAuditSide(s.Object), Announcement: fromAuditSide(s.Notification),
	}
}

func fromAuditSide(s ingest.AuditSide) AuditSide {
	side := AuditSide{
		State: AuditSideState(s.State.Word()), Status: orNull(string(s.Status)), Size: s.Size, Sha256: orNull(s.SHA256), ModifiedAt: timeOrNull(s.ModTime),
	}
	if s.Count > 0 {
		side.Count = &s.Count
	}
	return side
}
