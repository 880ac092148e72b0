package api

import (
	"context"

	"stevedore/api/openapi"
)

// StartAudit starts an audit and does not wait for it.
func (h handlers) StartAudit(ctx context.Context, req openapi.StartAuditRequestObject) (openapi.StartAuditResponseObject, error) {
	ctx, cancel := context.WithTimeout(ctx, h.startTimeout)
	defer cancel()
	body := orZero(req.Body)
	run, err := h.ops.StartAudit(ctx, orZero(body.Servers), orZero(body.Deep))
	if err != nil {
		return nil, err
	}
	location := "/api/v1/audits/" + run.UUID
	return openapi.StartAudit202JSONResponse{Body: openapi.FromAuditRun(run), Headers: openapi.StartAudit202ResponseHeaders{Location: &location}}, nil
}

// GetAudit returns an audit with its counts.
func (h handlers) GetAudit(ctx context.Context, req openapi.GetAuditRequestObject) (openapi.GetAuditResponseObject, error) {
	run, err := h.ops.GetAudit(ctx, req.AuditUUID.String())
	if err != nil {
		return nil, err
	}
	return openapi.GetAudit200JSONResponse(openapi.FromAuditRun(run)), nil
}

// ListAudits returns audits, the latest first.
func (h handlers) ListAudits(ctx context.Context, req openapi.ListAuditsRequestObject) (openapi.ListAuditsResponseObject, error) {
	before, err := cursorAudits.read(req.Params.Cursor)
	if err != nil {
		return nil, err
	}
	page, err := h.ops.ListAudits(ctx, before, pageLimit(req.Params.Limit))
	if err != nil {
		return nil, err
	}
	return openapi.ListAudits200JSONResponse{Audits: openapi.List(page.Items, openapi.FromAuditRun), NextCursor: cursorAudits.write(page.Next)}, nil
}

// ListAuditDifferences returns the discrepancies of an audit.
func (h handlers) ListAuditDifferences(ctx context.Context, req openapi.ListAuditDifferencesRequestObject) (openapi.ListAuditDifferencesResponseObject, error) {
	after, err := cursorDiscrepancies.read(req.Params.Cursor)
	if err != nil {
		return nil, err
	}
	page, err := h.ops.ListDiscrepancies(ctx, req.AuditUUID.String(), after, pageLimit(req.Params.Limit))
	if err != nil {
		return nil, err
	}
	return openapi.ListAuditDifferences200JSONResponse{Differences: openapi.List(page.Items, openapi.FromDiscrepancy), NextCursor: cursorDiscrepancies.write(page.Next)}, nil
}
