package api

import (
	"context"

	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

// ListScans returns listings of servers.
func (h handlers) ListScans(ctx context.Context, req openapi.ListScansRequestObject) (openapi.ListScansResponseObject, error) {
	scans, next, err := readPage(ctx, cursorScans, req.Params.Cursor, req.Params.Limit, openapi.FromListing,
		func(ctx context.Context, before int64, limit int) (ingest.Page[ingest.Scan], error) {
			return h.Operations.ListScans(ctx, orZero(req.Params.Server), before, limit)
		})
	return openapi.ListScans200JSONResponse{Scans: scans, NextCursor: next}, err
}

// GetServerScan returns one listing of a server.
func (h handlers) GetServerScan(ctx context.Context, req openapi.GetServerScanRequestObject) (openapi.GetServerScanResponseObject, error) {
	scan, err := h.Operations.GetServerScan(ctx, req.ID)
	return openapi.GetServerScan200JSONResponse(openapi.FromListing(scan)), err
}

// ListFailures groups failed files.
func (h handlers) ListFailures(ctx context.Context, req openapi.ListFailuresRequestObject) (openapi.ListFailuresResponseObject, error) {
	groups, more, err := h.Operations.ListFailures(ctx, orZero(req.Params.Server))
	return openapi.ListFailures200JSONResponse(openapi.FromFailures(groups, more)), err
}

// GetStatistics counts the completed and failed files of a period.
func (h handlers) GetStatistics(ctx context.Context, req openapi.GetStatisticsRequestObject) (openapi.GetStatisticsResponseObject, error) {
	period := ingest.PeriodDay
	if req.Params.Period != nil {
		period = ingest.Period(*req.Params.Period)
	}
	stats, err := h.Operations.Statistics(ctx, orZero(req.Params.Server), period)
	return openapi.GetStatistics200JSONResponse(openapi.FromStatistics(stats)), err
}

// ListReconciliations returns runs of the reconciliation, the latest first.
func (h handlers) ListReconciliations(ctx context.Context, req openapi.ListReconciliationsRequestObject) (openapi.ListReconciliationsResponseObject, error) {
	runs, next, err := readPage(ctx, cursorReconciliations, req.Params.Cursor, req.Params.Limit, openapi.FromReconciliation, h.Operations.ListReconciliations)
	return openapi.ListReconciliations200JSONResponse{Reconciliations: runs, NextCursor: next}, err
}
