package client

import (
	"context"
	"iter"

	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

// StartAudit starts an audit. It does not wait.
func (c *API) StartAudit(ctx context.Context, request openapi.AuditRequest) (openapi.AuditRun, error) {
	return read[openapi.AuditRun](c.raw.StartAudit(ctx, nil, request))
}

// Audits returns all audits, the latest first, and ends at the first error. A positive
// limit bounds their number.
func (c *API) Audits(ctx context.Context, limit int) iter.Seq2[openapi.AuditRun, error] {
	return items(limit, func(size int, cursor *string) ([]openapi.AuditRun, *string, error) {
		page, err := read[openapi.AuditRunPage](c.raw.ListAudits(ctx, &openapi.ListAuditsParams{Limit: &size, Cursor: cursor}))
		return page.Audits, page.NextCursor, err
	})
}

// WaitAudit polls an audit until it has ended and calls progress with every response. An
// audit that failed is an error. The audit continues when the caller stops waiting. With
// an error it still returns the last response.
func (c *API) WaitAudit(ctx context.Context, auditUUID string, progress func(openapi.AuditRun)) (openapi.AuditRun, error) {
	id, err := parseUUID("audit", auditUUID)
	if err != nil {
		return openapi.AuditRun{}, err
	}
	run, err := wait(ctx, c.poll, func() (openapi.AuditRun, bool, error) {
		run, err := read[openapi.AuditRun](c.raw.GetAudit(ctx, id))
		return run, run.State == openapi.AuditRunning, err
	}, progress)
	if err == nil && run.State == openapi.AuditFailed {
		err = ingest.Errorf(ingest.KindTransient, "audit %s failed: %s", auditUUID, orZero(run.Error))
	}
	return run, err
}

// Discrepancies returns the discrepancies that an audit found, and ends at the first error.
func (c *API) Discrepancies(ctx context.Context, auditUUID string) iter.Seq2[openapi.AuditDifference, error] {
	return items(0, func(size int, cursor *string) ([]openapi.AuditDifference, *string, error) {
		id, err := parseUUID("audit", auditUUID)
		if err != nil {
			return nil, nil, err
		}
		page, err := read[openapi.AuditDifferencePage](c.raw.ListAuditDifferences(ctx, id, &openapi.ListAuditDifferencesParams{Limit: &size, Cursor: cursor}))
		return page.Differences, page.NextCursor, err
	})
}
