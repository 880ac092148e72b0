package api

import (
	"context"

	"stevedore/api/openapi"
)

// ListScans returns listings of servers.
func (h handlers) ListScans(ctx context.Context, req openapi.ListScansRequestObject) (openapi.ListScansResponseObject, error) {
	before, err := cursorScans.read(req.Params.Cursor)
	if err != nil {
		return nil, err
	}
	server := ""
	if req.Params.Server != nil {
		server = *req.Params.Server
	}
	page, err := h.ops.ListScans(ctx, server, before, pageLimit(req.Params.Limit))
	if err != nil {
		return nil, err
	}
	answer := openapi.ScanList{Scans: []openapi.Listing{}, NextCursor: cursorScans.write(page.Next)}
	for _, scan := range page.Items {
		answer.Scans = append(answer.Scans, openapi.FromListing(scan))
	}
	return openapi.ListScans200JSONResponse(answer), nil
}

// ListReconciliations returns what the reconciler did.
func (h handlers) ListReconciliations(ctx context.Context, req openapi.ListReconciliationsRequestObject) (openapi.ListReconciliationsResponseObject, error) {
	before, err := cursorReconciliations.read(req.Params.Cursor)
	if err != nil {
		return nil, err
	}
	page, err := h.ops.ListReconciliations(ctx, before, pageLimit(req.Params.Limit))
	if err != nil {
		return nil, err
	}
	answer := openapi.ReconciliationPage{Reconciliations: []openapi.Reconciliation{}, NextCursor: cursorReconciliations.write(page.Next)}
	for _, run := range page.Items {
		answer.Reconciliations = append(answer.Reconciliations, openapi.FromReconciliation(run))
	}
	return openapi.ListReconciliations200JSONResponse(answer), nil
}
