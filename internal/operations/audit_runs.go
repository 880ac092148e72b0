package operations

import (
	"context"
	"errors"
	"time"

	"stevedore/internal/access"
	"stevedore/internal/ingest"
)

// closeTimeout bounds recording that an audit could not start.
const closeTimeout = 5 * time.Second

// StartAudit implements Audits.
func (s *Service) StartAudit(ctx context.Context, servers []string, deep bool) (ingest.AuditRun, error) {
	if err := s.noWorker(ctx); err != nil {
		return ingest.AuditRun{}, err
	}
	run := ingest.AuditRun{UUID: s.d.NewUUID(), Actor: access.From(ctx).Name, Deep: deep}
	names := []string{}
	if len(servers) > 0 {
		asked, err := s.serversOf(ctx, servers)
		if err != nil {
			return ingest.AuditRun{}, err
		}
		run.Servers = uuidsOf(asked)
		for _, server := range asked {
			names = append(names, server.Name)
		}
	}
	// Audits whose workflow was terminated would block this one; listing ends them.
	if _, err := s.ListAudits(ctx, 0, recentAudits); err != nil {
		return ingest.AuditRun{}, err
	}
	details := map[string]any{"servers": names, "deep": deep}
	if err := s.trail.Do(ctx, "audit.start", run.UUID, details, func(string) error { return s.beginAudit(ctx, run) }); err != nil {
		return ingest.AuditRun{}, err
	}
	return s.d.Ledger.AuditRun(ctx, run.UUID)
}

// beginAudit stores an audit and starts its workflow.
func (s *Service) beginAudit(ctx context.Context, run ingest.AuditRun) error {
	if err := s.d.Ledger.AddAuditRun(ctx, run); err != nil {
		return err
	}
	if err := s.d.Orchestrator.StartAudit(ctx, run.UUID); err != nil {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		return errors.Join(err, s.d.Ledger.EndAudit(closing, run.UUID, "it could not be started: "+ingest.Message(err)))
	}
	return nil
}

// GetAudit implements Audits.
func (s *Service) GetAudit(ctx context.Context, runUUID string) (ingest.AuditRun, error) {
	run, err := s.d.Ledger.AuditRun(ctx, runUUID)
	if ingest.IsMissingRow(err) {
		return run, notFound("no audit has the uuid %q", ingest.Summary(runUUID))
	}
	if err != nil {
		return run, err
	}
	return s.closeIfLost(ctx, run)
}

// startGrace is the time in which the workflow of a recorded audit may be missing, because
// it is started after the row is written.
const startGrace = time.Minute

// lostAudit is the error of an audit that ended without its workflow.
const lostAudit = "its workflow was ended from outside: start another audit"

// closeIfLost ends an audit whose workflow was terminated and returns its current state.
// While Temporal does not answer, it changes nothing.
func (s *Service) closeIfLost(ctx context.Context, run ingest.AuditRun) (ingest.AuditRun, error) {
	if run.State != ingest.AuditRunning {
		return run, nil
	}
	asking, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	running, err := s.d.Orchestrator.AuditRunning(asking, run.UUID)
	switch {
	case ingest.IsKind(err, ingest.KindMissing) && s.d.Now().Sub(run.StartedAt) > startGrace:
	case err != nil, running:
		return run, nil
	}
	if err := s.d.Ledger.EndAudit(ctx, run.UUID, lostAudit); err != nil {
		return run, err
	}
	return s.d.Ledger.AuditRun(ctx, run.UUID)
}

// recentAudits bounds the audits that are checked for a running one: one runs at a time.
const recentAudits = 10

// ListAudits implements Audits.
func (s *Service) ListAudits(ctx context.Context, beforeID int64, limit int) (page ingest.Page[ingest.AuditRun], err error) {
	runs, err := s.d.Ledger.AuditRuns(ctx, beforeID, limit)
	for i := 0; i < len(runs) && err == nil; i++ {
		runs[i], err = s.closeIfLost(ctx, runs[i])
	}
	return ingest.PageOf(runs, limit, func(r ingest.AuditRun) int64 { return r.ID }), err
}

// ListDiscrepancies implements Audits.
func (s *Service) ListDiscrepancies(ctx context.Context, runUUID string, afterSeq int64, limit int) (page ingest.Page[ingest.Discrepancy], err error) {
	if _, err := s.GetAudit(ctx, runUUID); err != nil {
		return page, err
	}
	found, err := s.d.Ledger.ListDiscrepancies(ctx, runUUID, afterSeq, limit)
	return ingest.PageOf(found, limit, func(d ingest.Discrepancy) int64 { return d.Seq }), err
}
