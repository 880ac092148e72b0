package remote

import (
	"context"

	"github.com/google/uuid"

	"stevedore/api/oas"
	"stevedore/internal/admin"
	"stevedore/internal/ingest"
	"stevedore/internal/oracle"
)

// Audit has the service compare everything, waits until it is through and calls
// fn for each difference, see admin.Audit. An audit goes on when nobody waits
// for it any more.
func (c *Client) Audit(ctx context.Context, req admin.AuditRequest, fn func(oracle.Difference) error) (admin.AuditSummary, error) {
	body := oas.AuditRequest{Deep: &req.Deep}
	if len(req.Servers) > 0 {
		body.Servers = &req.Servers
	}
	run, err := reply[oas.AuditRun]{c}.of(c.api.StartAudit(ctx, nil, body))
	if err != nil {
		return admin.AuditSummary{}, err
	}
	id, err := uuid.Parse(run.AuditUUID)
	if err != nil {
		return admin.AuditSummary{}, c.unreadable(err)
	}
	summary, err := c.auditedServers(ctx, run)
	for err == nil && run.State == oas.AuditRunning {
		if req.Progress != nil {
			req.Progress(auditSummary(run))
		}
		if err = sleep(ctx, c.poll); err == nil {
			run, err = reply[oas.AuditRun]{c}.of(c.api.GetAudit(ctx, id))
		}
	}
	if err != nil {
		return summary, err
	}
	summary.Summary = auditSummary(run)
	if err := c.eachDifference(ctx, id, fn); err != nil {
		return summary, err
	}
	if run.State == oas.AuditFailed {
		return summary, ingest.Errorf(ingest.KindTransient, "audit %s failed: %s", run.AuditUUID, orZero(run.Error))
	}
	return summary, nil
}

// auditedServers says which servers an audit is about, and which of them it
// does not log in to.
func (c *Client) auditedServers(ctx context.Context, run oas.AuditRun) (summary admin.AuditSummary, err error) {
	if named := len(run.ServerUuids); named > 0 {
		summary.Servers = named
		return summary, nil
	}
	servers, err := c.ListServers(ctx)
	for _, server := range servers {
		if left := admin.LeftOut(server, false); left != nil {
			summary.Unlisted = append(summary.Unlisted, *left)
		}
	}
	summary.Servers = len(servers)
	return summary, err
}

func auditSummary(run oas.AuditRun) oracle.Summary {
	return oracle.Summary{
		Files: run.Files, Objects: run.Objects, Sources: run.Sources, Bytes: run.Bytes, Pending: run.Pending,
		Marks: map[oracle.Mark]int64{oracle.Missing: run.Missing, oracle.Extra: run.Extra, oracle.Wrong: run.Wrong},
	}
}

// eachDifference calls fn for all that an audit found, page by page.
func (c *Client) eachDifference(ctx context.Context, audit uuid.UUID, fn func(oracle.Difference) error) error {
	size := admin.MaxPage
	params := oas.ListAuditDifferencesParams{Limit: &size}
	for {
		page, err := reply[oas.AuditDifferencePage]{c}.of(c.api.ListAuditDifferences(ctx, audit, &params))
		if err != nil {
			return err
		}
		for _, d := range page.Differences {
			err := fn(oracle.Difference{
				Mark: oracle.Mark(d.Mark), What: d.What, Why: d.Why, Server: orZero(d.Server), Path: orZero(d.Path), FileUUID: orZero(d.FileUUID),
				Sides: toSides(d.Sides),
			})
			if err != nil {
				return err
			}
		}
		if page.NextCursor == nil {
			return nil
		}
		params.Cursor = page.NextCursor
	}
}

// toSides turns oas.FromAuditSides round.
func toSides(s oas.AuditSides) ingest.AuditSides {
	return ingest.AuditSides{Source: toSide(s.Source), Ledger: toSide(s.Ledger), Object: toSide(s.Object), Announcement: toSide(s.Announcement)}
}

func toSide(s oas.AuditSide) ingest.AuditSide {
	side := ingest.AuditSide{
		Status: ingest.Status(orZero(s.Status)), Size: s.Size, SHA256: orZero(s.Sha256), ModTime: orZero(s.ModifiedAt), Count: orZero(s.Count),
	}
	if s.State != oas.SideUnknown {
		side.State = ingest.SideState(s.State)
	}
	return side
}
