package api

import (
	"context"

	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

// StartAudit starts an audit and does not wait for it.
func (h handlers) StartAudit(ctx context.Context, req openapi.StartAuditRequestObject) (openapi.StartAuditResponseObject, error) {
	ctx, cancel := context.WithTimeout(ctx, h.StartTimeout)
	defer cancel()
	body := orZero(req.Body)
	run, err := h.Operations.StartAudit(ctx, orZero(body.Servers), orZero(body.Deep))
	location := "/api/v1/audits/" + run.UUID
	return openapi.StartAudit202JSONResponse{Body: openapi.FromAuditRun(run), Headers: openapi.StartAudit202ResponseHeaders{Location: &location}}, err
}

// GetAudit returns an audit with its counts.
func (h handlers) GetAudit(ctx context.Context, req openapi.GetAuditRequestObject) (openapi.GetAuditResponseObject, error) {
	run, err := h.Operations.GetAudit(ctx, req.AuditUUID.String())
	return openapi.GetAudit200JSONResponse(openapi.FromAuditRun(run)), err
}

// ListAudits returns audits, the latest first.
func (h handlers) ListAudits(ctx context.Context, req openapi.ListAuditsRequestObject) (openapi.ListAuditsResponseObject, error) {
	audits, next, err := readPage(ctx, cursorAudits, req.Params.Cursor, req.Params.Limit, openapi.FromAuditRun, h.Operations.ListAudits)
	return openapi.ListAudits200JSONResponse{Audits: audits, NextCursor: next}, err
}

// ListAuditDifferences returns the discrepancies of an audit.
func (h handlers) ListAuditDifferences(ctx context.Context, req openapi.ListAuditDifferencesRequestObject) (openapi.ListAuditDifferencesResponseObject, error) {
	found, next, err := readPage(ctx, cursorDiscrepancies, req.Params.Cursor, req.Params.Limit, openapi.FromDiscrepancy,
		func(ctx context.Context, after int64, limit int) (ingest.Page[ingest.Discrepancy], error) {
			return h.Operations.ListDiscrepancies(ctx, req.AuditUUID.String(), after, limit)
		})
	return openapi.ListAuditDifferences200JSONResponse{Differences: found, NextCursor: next}, err
}
