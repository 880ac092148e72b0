package api

import (
	"bytes"
	"context"
	_ "embed"
	"slices"

	"stevedore/api/openapi"
	"stevedore/api/web"
	"stevedore/internal/access"
	"stevedore/internal/ingest"
)

//go:embed openapi.yaml
var specification []byte

// handlers implements openapi.StrictServerInterface. Errors are returned unchanged;
// problem.go converts them to responses. The generated code ignores the response that is
// returned with an error.
type handlers struct {
	Deps
	guard *access.Guard
	ready *web.Readiness
}

var _ openapi.StrictServerInterface = handlers{}

// GetLiveness reports that the process responds.
func (h handlers) GetLiveness(context.Context, openapi.GetLivenessRequestObject) (openapi.GetLivenessResponseObject, error) {
	return openapi.GetLiveness200JSONResponse{Status: "alive"}, nil
}

// GetSpecification serves openapi.yaml.
func (h handlers) GetSpecification(context.Context, openapi.GetSpecificationRequestObject) (openapi.GetSpecificationResponseObject, error) {
	return openapi.GetSpecification200ApplicationYamlResponse{
		Body: bytes.NewReader(specification), ContentLength: int64(len(specification)),
	}, nil
}

// StartScan starts a scan and does not wait for it.
func (h handlers) StartScan(ctx context.Context, req openapi.StartScanRequestObject) (openapi.StartScanResponseObject, error) {
	accepted, err := h.scan(ctx, slices.Concat(orZero(req.Params.Server), orZero(orZero(req.Body).Servers)))
	return openapi.StartScan202JSONResponse{Body: accepted, Headers: openapi.StartScan202ResponseHeaders{Location: &accepted.StatusURL}}, err
}

// GetScan returns the state of a scan.
func (h handlers) GetScan(ctx context.Context, req openapi.GetScanRequestObject) (openapi.GetScanResponseObject, error) {
	status, err := h.Operations.GetScan(ctx, req.ScanUUID.String())
	return openapi.GetScan200JSONResponse(openapi.FromScan(status)), err
}

// ListFiles returns one page of files.
func (h handlers) ListFiles(ctx context.Context, req openapi.ListFilesRequestObject) (openapi.ListFilesResponseObject, error) {
	filter, err := fileFilter(req.Params)
	if err != nil {
		return nil, err
	}
	page, err := h.Operations.ListFiles(ctx, filter)
	cursors, _, _ := filesCursor(filter.Order)
	return openapi.ListFiles200JSONResponse{Files: openapi.List(page.Items, openapi.FromFile), NextCursor: cursors.write(page.Next)}, err
}

func fileFilter(params openapi.ListFilesParams) (ingest.FileFilter, error) {
	filter, err := selection(openapi.FileSelection{Server: params.Server, Path: params.Path, From: params.From, To: params.To, Hash: params.Hash,
		Search: params.Search, ErrorKind: params.ErrorKind, Step: params.Step}, "path")
	if err != nil {
		return filter, err
	}
	filter.Limit = pageLimit(params.Limit)
	filter.Left, filter.UUID = orZero(params.Left), orZero(params.UUID)
	filter.Statuses = texts[ingest.Status](params.Status)
	filter.Order = ingest.FileOrder(orZero(params.Order))
	filter.AfterID, err = readFilesCursor(filter.Order, params.Cursor)
	return filter, err
}

// GetOverview returns the counts of files and the state of servers.
func (h handlers) GetOverview(ctx context.Context, _ openapi.GetOverviewRequestObject) (openapi.GetOverviewResponseObject, error) {
	overview, err := h.Operations.Overview(ctx)
	return openapi.GetOverview200JSONResponse(openapi.FromOverview(overview)), err
}

// GetFile returns one file.
func (h handlers) GetFile(ctx context.Context, req openapi.GetFileRequestObject) (openapi.GetFileResponseObject, error) {
	file, err := h.Operations.GetFile(ctx, req.FileUUID.String())
	return openapi.GetFile200JSONResponse(openapi.FromFile(file)), err
}

// GetFileProgress returns the progress of the current step.
func (h handlers) GetFileProgress(ctx context.Context, req openapi.GetFileProgressRequestObject) (openapi.GetFileProgressResponseObject, error) {
	file, err := h.Operations.GetFile(ctx, req.FileUUID.String())
	if err != nil {
		return nil, err
	}
	answer := openapi.FileProgress{FileUUID: file.UUID}
	if progress, known := h.Operations.Progress(ctx, []ingest.File{file})[file.UUID]; known {
		answer.Progress = openapi.FromProgress(progress)
	}
	return openapi.GetFileProgress200JSONResponse(answer), nil
}

// ListFileEvents returns one page of the events of a file.
func (h handlers) ListFileEvents(ctx context.Context, req openapi.ListFileEventsRequestObject) (openapi.ListFileEventsResponseObject, error) {
	events, next, err := readPage(ctx, cursorEvents, req.Params.Cursor, req.Params.Limit, openapi.FromEvent,
		func(ctx context.Context, after int64, limit int) (ingest.Page[ingest.StoredEvent], error) {
			return h.Operations.ListFileEvents(ctx, req.FileUUID.String(), after, limit)
		})
	return openapi.ListFileEvents200JSONResponse{Events: events, NextCursor: next}, err
}
