package admin

import (
	"context"
	"errors"
	"time"

	"stevedore/internal/ingest"
)

// AuditRuns is the record of audits that were asked for.
type AuditRuns interface {
	// AddAuditRun records an audit that is about to begin.
	AddAuditRun(ctx context.Context, run ingest.AuditRun) error
	// EndAudit closes one that could not begin.
	EndAudit(ctx context.Context, runUUID, failure string) error
	// AuditRun returns one, or KindMissing; AuditRuns a page, the latest first.
	AuditRun(ctx context.Context, runUUID string) (ingest.AuditRun, error)
	AuditRuns(ctx context.Context, beforeID int64, limit int) ([]ingest.AuditRun, error)
	// AuditDifferences returns what one found, after the given number.
	AuditDifferences(ctx context.Context, runUUID string, afterSeq int64, limit int) ([]ingest.AuditDifference, error)
}

// closeTimeout bounds noting that an audit could not begin.
const closeTimeout = 5 * time.Second

// StartAudit has the servers, names or uuids, compared with ledger, objects and
// announcements; none means all. It returns at once.
func (a *Admin) StartAudit(ctx context.Context, servers []string, deep bool) (ingest.AuditRun, error) {
	run := ingest.AuditRun{UUID: a.d.NewUUID(), Actor: Who(ctx).Name, Deep: deep}
	names := []string{}
	if len(servers) > 0 {
		asked, err := a.audited(ctx, servers)
		if err != nil {
			return ingest.AuditRun{}, err
		}
		for _, server := range asked {
			run.Servers, names = append(run.Servers, server.UUID), append(names, server.Name)
		}
	}
	ledger, err := a.d.Ledger(ctx)
	if err != nil {
		return ingest.AuditRun{}, err
	}
	if err := a.closeLostAudits(ctx, ledger); err != nil {
		return ingest.AuditRun{}, err
	}
	if err := a.record(ctx, "audit.start", run.UUID, map[string]any{"servers": names, "deep": deep}); err != nil {
		return ingest.AuditRun{}, err
	}
	if err := ledger.AddAuditRun(ctx, run); err != nil {
		return ingest.AuditRun{}, err
	}
	if err := a.d.Engine.StartAudit(ctx, run.UUID); err != nil {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		return ingest.AuditRun{}, errors.Join(err, ledger.EndAudit(closing, run.UUID, "it could not be started: "+ingest.Message(err)))
	}
	return ledger.AuditRun(ctx, run.UUID)
}

// ShowAudit returns an audit, or an ErrNotFound.
func (a *Admin) ShowAudit(ctx context.Context, runUUID string) (ingest.AuditRun, error) {
	ledger, err := a.d.Ledger(ctx)
	if err != nil {
		return ingest.AuditRun{}, err
	}
	run, err := ledger.AuditRun(ctx, runUUID)
	if absent(err) {
		return run, notFound("no audit has the uuid %q", ingest.Summary(runUUID))
	}
	if err != nil {
		return run, err
	}
	return a.closeIfLost(ctx, ledger, run)
}

// startGrace is how long after an audit was recorded its workflow may be missing:
// it is started after the record is written.
const startGrace = time.Minute

// lostAudit is why an audit without a workflow has ended.
const lostAudit = "its workflow was ended from outside: start another audit"

// closeIfLost closes an audit whose workflow was terminated, and returns it as it is
// now. While Temporal does not answer it stays as it is.
func (a *Admin) closeIfLost(ctx context.Context, ledger Ledger, run ingest.AuditRun) (ingest.AuditRun, error) {
	if run.State != ingest.AuditRunning {
		return run, nil
	}
	asking, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	running, err := a.d.Engine.AuditRunning(asking, run.UUID)
	switch {
	case ingest.IsKind(err, ingest.KindMissing) && a.d.Now().Sub(run.StartedAt) > startGrace:
	case err != nil, running:
		return run, nil
	}
	if err := ledger.EndAudit(ctx, run.UUID, lostAudit); err != nil {
		return run, err
	}
	return ledger.AuditRun(ctx, run.UUID)
}

// recentAudits is how many audits are looked at for one that still runs: one runs
// at a time.
const recentAudits = 10

// closeLostAudits closes audits whose workflow was terminated, so that they do not
// keep another one from being started.
func (a *Admin) closeLostAudits(ctx context.Context, ledger Ledger) error {
	runs, err := ledger.AuditRuns(ctx, 0, recentAudits)
	for i := 0; i < len(runs) && err == nil; i++ {
		_, err = a.closeIfLost(ctx, ledger, runs[i])
	}
	return err
}

// AuditRunPage is one page of audits.
type AuditRunPage struct {
	Runs []ingest.AuditRun
	// Next is the id to go on before; 0 on the last page.
	Next int64
}

// ListAudits returns audits, the latest first.
func (a *Admin) ListAudits(ctx context.Context, beforeID int64, limit int) (page AuditRunPage, err error) {
	ledger, err := a.d.Ledger(ctx)
	if err != nil {
		return page, err
	}
	if page.Runs, err = ledger.AuditRuns(ctx, beforeID, limit); err != nil {
		return page, err
	}
	for i, run := range page.Runs {
		if page.Runs[i], err = a.closeIfLost(ctx, ledger, run); err != nil {
			return page, err
		}
	}
	if len(page.Runs) == limit {
		page.Next = page.Runs[limit-1].ID
	}
	return page, err
}

// DifferencePage is one page of what an audit found.
type DifferencePage struct {
	Differences []ingest.AuditDifference
	// Next is the number to go on after; 0 on the last page.
	Next int64
}

// AuditDifferences returns what an audit found, in the order it did; an unknown
// audit is an ErrNotFound.
func (a *Admin) AuditDifferences(ctx context.Context, runUUID string, afterSeq int64, limit int) (page DifferencePage, err error) {
	if _, err := a.ShowAudit(ctx, runUUID); err != nil {
		return page, err
	}
	ledger, err := a.d.Ledger(ctx)
	if err != nil {
		return page, err
	}
	page.Differences, err = ledger.AuditDifferences(ctx, runUUID, afterSeq, limit)
	if len(page.Differences) == limit {
		page.Next = page.Differences[limit-1].Seq
	}
	return page, err
}
