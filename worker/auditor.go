package worker

import (
	"context"
	"log/slog"

	"stevedore/internal/admin"
	"stevedore/internal/config"
	"stevedore/internal/ingest"
	"stevedore/internal/oracle"
)

// auditor carries audits out as `stevedore audit` does, with connections of its
// own: they must not take those that files travel by.
type auditor struct {
	cfg config.Config
	log *slog.Logger
}

// Audit implements activities.Auditor.
func (a auditor) Audit(ctx context.Context, servers []string, deep bool, report func(ingest.AuditDifference) error, progress func(ingest.AuditCounts)) (ingest.AuditCounts, error) {
	ops := admin.Open(a.cfg, a.log)
	defer ops.Close()
	request := admin.AuditRequest{Servers: servers, Deep: deep, Progress: func(s oracle.Summary) { progress(counts(s)) }}
	summary, err := ops.Audit(ctx, request, func(d oracle.Difference) error {
		return report(ingest.AuditDifference{
			Mark: string(d.Mark), What: d.What, Why: ingest.DisplayPath(d.Why), Server: d.Server, Path: d.Path, FileUUID: d.FileUUID,
			Sides: d.Sides,
		})
	})
	return counts(summary.Summary), err
}

func counts(s oracle.Summary) ingest.AuditCounts {
	return ingest.AuditCounts{
		Sources: s.Sources, Files: s.Files, Objects: s.Objects, Bytes: s.Bytes, Pending: s.Pending,
		Missing: s.Marks[oracle.Missing], Extra: s.Marks[oracle.Extra], Wrong: s.Marks[oracle.Wrong],
	}
}
