package client

import (
	"context"

	"github.com/google/uuid"

	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

// StartAudit starts an audit. It does not wait.
func (c *API) StartAudit(ctx context.Context, request openapi.AuditRequest) (openapi.AuditRun, error) {
	return reply[openapi.AuditRun]{c}.of(c.raw.StartAudit(ctx, nil, request))
}

// WaitAudit polls an audit until it has ended and calls progress with every response.
// An audit that failed is an error; the run is valid beside it. The audit continues
// when the caller stops waiting.
func (c *API) WaitAudit(ctx context.Context, run openapi.AuditRun, progress func(openapi.AuditRun)) (openapi.AuditRun, error) {
	id, err := uuid.Parse(run.AuditUUID)
	if err != nil {
		return run, c.unreadable(err)
	}
	for run.State == openapi.AuditRunning {
		progress(run)
		if err := sleep(ctx, c.poll); err != nil {
			return run, err
		}
		next, err := reply[openapi.AuditRun]{c}.of(c.raw.GetAudit(ctx, id))
		if err != nil {
			return run, err
		}
		run = next
	}
	if run.State == openapi.AuditFailed {
		return run, ingest.Errorf(ingest.KindTransient, "audit %s failed: %s", run.AuditUUID, orZero(run.Error))
	}
	return run, nil
}

// EachDifference calls fn for each difference that an audit found, page by page, until
// fn returns an error.
func (c *API) EachDifference(ctx context.Context, auditUUID string, fn func(openapi.AuditDifference) error) error {
	id, err := uuid.Parse(auditUUID)
	if err != nil {
		return c.unreadable(err)
	}
	size := pageSize
	for params := (openapi.ListAuditDifferencesParams{Limit: &size}); ; {
		page, err := reply[openapi.AuditDifferencePage]{c}.of(c.raw.ListAuditDifferences(ctx, id, &params))
		if err != nil {
			return err
		}
		for _, difference := range page.Differences {
			if err := fn(difference); err != nil {
				return err
			}
		}
		if params.Cursor = page.NextCursor; params.Cursor == nil {
			return nil
		}
	}
}
