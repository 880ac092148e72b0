package api

import (
	"context"

	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

// ListScans returns listings of servers.
func (h handlers) ListScans(ctx context.Context, req openapi.ListScansRequestObject) (openapi.ListScansResponseObject, error) {
	before, err := cursorScans.read(req.Params.Cursor)
	if err != nil {
		return nil, err
	}
	page, err := h.ops.ListScans(ctx, orZero(req.Params.Server), before, pageLimit(req.Params.Limit))
	if err != nil {
		return nil, err
	}
	return openapi.ListScans200JSONResponse{Scans: openapi.List(page.Items, openapi.FromListing), NextCursor: cursorScans.write(page.Next)}, nil
}

// GetServerScan returns one listing of a server.
func (h handlers) GetServerScan(ctx context.Context, req openapi.GetServerScanRequestObject) (openapi.GetServerScanResponseObject, error) {
	scan, err := h.ops.GetServerScan(ctx, req.ID)
	if err != nil {
		return nil, err
	}
	return openapi.GetServerScan200JSONResponse(openapi.FromListing(scan)), nil
}

// ListFailures groups failed files.
func (h handlers) ListFailures(ctx context.Context, req openapi.ListFailuresRequestObject) (openapi.ListFailuresResponseObject, error) {
	groups, more, err := h.ops.ListFailures(ctx, orZero(req.Params.Server))
	if err != nil {
		return nil, err
	}
	return openapi.ListFailures200JSONResponse(openapi.FromFailures(groups, more)), nil
}

// GetStatistics counts the completed and failed files of a period.
func (h handlers) GetStatistics(ctx context.Context, req openapi.GetStatisticsRequestObject) (openapi.GetStatisticsResponseObject, error) {
	period := ingest.PeriodDay
	if req.Params.Period != nil {
		period = ingest.Period(*req.Params.Period)
	}
	stats, err := h.ops.Statistics(ctx, orZero(req.Params.Server), period)
	if err != nil {
		return nil, err
	}
	return openapi.GetStatistics200JSONResponse(openapi.FromStatistics(stats)), nil
}

// ListReconciliations returns runs of the reconciliation, the latest first.
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
