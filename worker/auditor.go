package worker

import (
	"context"
	"log/slog"

	"stevedore/internal/config"
	"stevedore/internal/ingest"
	"stevedore/internal/operations"
	"stevedore/internal/wiring"
)

// auditor runs audits over connections of its own, so that an audit never uses up
// the connections that transfers need.
type auditor struct {
	cfg config.Config
	log *slog.Logger
}

// Audit implements activities.Auditor.
func (a auditor) Audit(ctx context.Context, servers []string, deep bool, report func(ingest.Discrepancy) error, progress func(ingest.AuditCounts)) (ingest.AuditCounts, error) {
	parts, err := wiring.New(a.cfg, a.log, wiring.Options{})
	if err != nil {
		return ingest.AuditCounts{}, err
	}
	defer parts.Close()
	return parts.Operations().Audit(ctx, operations.AuditRequest{Servers: servers, Deep: deep, Progress: progress}, report)
}
