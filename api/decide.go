package api

import (
	"context"
	"fmt"
	"strings"

	"stevedore/api/openapi"
	"stevedore/internal/ingest"
	"stevedore/internal/operations"
	"stevedore/workflows"
)

func decision(reason string, from *openapi.StepName) workflows.OperatorAction {
	d := workflows.OperatorAction{Reason: reason}
	if from != nil {
		d.From = ingest.Step(*from)
	}
	return d
}

func (h handlers) decide(ctx context.Context, fileUUID string, action operations.Action, d workflows.OperatorAction) (openapi.File, error) {
	ctx, cancel := context.WithTimeout(ctx, actionTimeout)
	defer cancel()
	file, err := h.ops.ActOnFile(ctx, fileUUID, action, d)
	return openapi.FromFile(file), err
}

// RetryFile retries a failed file.
func (h handlers) RetryFile(ctx context.Context, req openapi.RetryFileRequestObject) (openapi.RetryFileResponseObject, error) {
	file, err := h.decide(ctx, req.FileUUID.String(), operations.Retry, decision(req.Body.Reason, req.Body.From))
	if err != nil {
		return nil, err
	}
	return openapi.RetryFile200JSONResponse(file), nil
}

// SkipFile skips a file.
func (h handlers) SkipFile(ctx context.Context, req openapi.SkipFileRequestObject) (openapi.SkipFileResponseObject, error) {
	file, err := h.decide(ctx, req.FileUUID.String(), operations.Skip, decision(req.Body.Reason, nil))
	if err != nil {
		return nil, err
	}
	return openapi.SkipFile200JSONResponse(file), nil
}

// RenotifyFile publishes the notification of a completed file again.
func (h handlers) RenotifyFile(ctx context.Context, req openapi.RenotifyFileRequestObject) (openapi.RenotifyFileResponseObject, error) {
	file, err := h.decide(ctx, req.FileUUID.String(), operations.Renotify, decision(req.Body.Reason, nil))
	if err != nil {
		return nil, err
	}
	return openapi.RenotifyFile200JSONResponse(file), nil
}

// ReprocessFile ingests a completed file again.
func (h handlers) ReprocessFile(ctx context.Context, req openapi.ReprocessFileRequestObject) (openapi.ReprocessFileResponseObject, error) {
	file, err := h.decide(ctx, req.FileUUID.String(), operations.Reprocess, decision(req.Body.Reason, nil))
	if err != nil {
		return nil, err
	}
	return openapi.ReprocessFile200JSONResponse(file), nil
}

// RetryFiles retries failed files that a filter selects.
func (h handlers) RetryFiles(ctx context.Context, req openapi.RetryFilesRequestObject) (openapi.RetryFilesResponseObject, error) {
	if req.Body.Filter.Status != nil {
		return nil, invalid("status", "status: a retry selects only failed files; omit the field")
	}
	result, err := h.decideAll(ctx, operations.Retry, *req.Body)
	if err != nil {
		return nil, err
	}
	return openapi.RetryFiles200JSONResponse(result), nil
}

// SkipFiles skips files that a filter selects.
func (h handlers) SkipFiles(ctx context.Context, req openapi.SkipFilesRequestObject) (openapi.SkipFilesResponseObject, error) {
	if req.Body.From != nil {
		return nil, invalid("from", "from: applies only to a retry; omit the field")
	}
	result, err := h.decideAll(ctx, operations.Skip, *req.Body)
	if err != nil {
		return nil, err
	}
	return openapi.SkipFiles200JSONResponse(result), nil
}

func (h handlers) decideAll(ctx context.Context, action operations.Action, body openapi.BulkDecision) (openapi.BulkResult, error) {
	ctx, cancel := context.WithTimeout(ctx, actionTimeout)
	defer cancel()
	filter, err := selection(body.Filter, "filter.path")
	if err != nil {
		return openapi.BulkResult{}, err
	}
	request := operations.BulkRequest{
		Filter: filter, Action: action, Details: decision(body.Reason, body.From), Expected: body.ExpectedCount,
		DryRun: body.DryRun != nil && *body.DryRun,
	}
	if body.Cursor != nil {
		request.Cursor = *body.Cursor
	}
	result, err := h.ops.ActOnFiles(ctx, request)
	if err != nil {
		return openapi.BulkResult{}, err
	}
	answer := openapi.BulkResult{
		Matched: result.Matched, Done: result.Done, Failed: result.Failed, Remaining: result.Remaining,
		Failures: openapi.List(result.Failures, func(f operations.BulkFailure) openapi.BulkFailure {
			return openapi.BulkFailure{FileUUID: f.FileUUID, Message: f.Message}
		}),
	}
	if result.Next != "" {
		answer.NextCursor = &result.Next
	}
	if result.Err != nil {
		why := problemFor(result.Err).Detail
		answer.Error = &why
	}
	return answer, nil
}

// selection converts a filter; pathField is the name of its path in the request.
func selection(s openapi.FileSelection, pathField string) (filter ingest.FileFilter, err error) {
	if s.FileUuids != nil {
		filter.UUIDs = *s.FileUuids
	}
	if s.Status != nil {
		for _, status := range *s.Status {
			filter.Statuses = append(filter.Statuses, ingest.Status(status))
		}
	}
	if s.Server != nil {
		filter.Server = *s.Server
	}
	if s.Path != nil {
		filter.Path = *s.Path
		if !operations.ValidGlob(filter.Path) {
			err = invalid(pathField, fmt.Sprintf("path %q: not a valid glob; example: '**/*.csv'", ingest.Summary(filter.Path)))
		}
	}
	filter.Search = orEmpty(s.Search)
	if s.ErrorKind != nil {
		for _, kind := range *s.ErrorKind {
			filter.ErrorKinds = append(filter.ErrorKinds, ingest.Kind(kind))
		}
	}
	if s.Step != nil {
		for _, step := range *s.Step {
			filter.ErrorSteps = append(filter.ErrorSteps, ingest.Step(step))
		}
	}
	if s.Hash != nil {
		filter.Hash = strings.ToLower(*s.Hash)
	}
	if s.From != nil {
		filter.From = *s.From
	}
	if s.To != nil {
		filter.To = *s.To
	}
	return filter, err
}
