package worker

import (
	"context"
	"log/slog"

	"stevedore/internal/admin"
	"stevedore/internal/config"
	"stevedore/internal/ingest"
	"stevedore/internal/wiring"
)

// auditor carries out audits on connections of its own: they must not take those of
// files.
type auditor struct {
	cfg config.Config
	log *slog.Logger
}

// Audit implements activities.Auditor.
func (a auditor) Audit(ctx context.Context, servers []string, deep bool, report func(ingest.AuditDifference) error, progress func(ingest.AuditCounts)) (ingest.AuditCounts, error) {
	parts := wiring.New(a.cfg, a.log, wiring.Options{})
	defer parts.Close()
	return parts.Operations().Audit(ctx, admin.AuditRequest{Servers: servers, Deep: deep, Progress: progress}, report)
}
