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
	return openapi.ListScans200JSONResponse{Scans: openapi.List(page.Items, openapi.FromListing), NextCursor: cursorScans.write(page.Next)}, nil
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
	return openapi.ListReconciliations200JSONResponse{Reconciliations: openapi.List(page.Items, openapi.FromReconciliation), NextCursor: cursorReconciliations.write(page.Next)}, nil
}
