package api

import (
	"context"

	"stevedore/api/oas"
)

// ListScans returns listings of servers.
func (h handlers) ListScans(ctx context.Context, req oas.ListScansRequestObject) (oas.ListScansResponseObject, error) {
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
	answer := oas.ScanList{Scans: []oas.Listing{}, NextCursor: cursorScans.write(page.Next)}
	for _, scan := range page.Scans {
		answer.Scans = append(answer.Scans, oas.FromListing(scan))
	}
	return oas.ListScans200JSONResponse(answer), nil
}

// ListReconciliations returns what the reconciler did.
func (h handlers) ListReconciliations(ctx context.Context, req oas.ListReconciliationsRequestObject) (oas.ListReconciliationsResponseObject, error) {
	before, err := cursorReconciliations.read(req.Params.Cursor)
	if err != nil {
		return nil, err
	}
	page, err := h.ops.ListReconciliations(ctx, before, pageLimit(req.Params.Limit))
	if err != nil {
		return nil, err
	}
	answer := oas.ReconciliationPage{Reconciliations: []oas.Reconciliation{}, NextCursor: cursorReconciliations.write(page.Next)}
	for _, run := range page.Runs {
		answer.Reconciliations = append(answer.Reconciliations, oas.FromReconciliation(run))
	}
	return oas.ListReconciliations200JSONResponse(answer), nil
}
