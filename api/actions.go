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

func actionOf(reason string, from *openapi.StepName) workflows.OperatorAction {
	return workflows.OperatorAction{Reason: reason, From: ingest.Step(orZero(from))}
}

func (h handlers) act(ctx context.Context, fileUUID string, action ingest.Action, d workflows.OperatorAction) (openapi.File, error) {
	ctx, cancel := context.WithTimeout(ctx, actionTimeout)
	defer cancel()
	file, err := h.Operations.ActOnFile(ctx, fileUUID, action, d)
	return openapi.FromFile(file), err
}

// RetryFile retries a failed file.
func (h handlers) RetryFile(ctx context.Context, req openapi.RetryFileRequestObject) (openapi.RetryFileResponseObject, error) {
	file, err := h.act(ctx, req.FileUUID.String(), ingest.ActionRetry, actionOf(req.Body.Reason, req.Body.From))
	return openapi.RetryFile200JSONResponse(file), err
}

// SkipFile skips a file.
func (h handlers) SkipFile(ctx context.Context, req openapi.SkipFileRequestObject) (openapi.SkipFileResponseObject, error) {
	file, err := h.act(ctx, req.FileUUID.String(), ingest.ActionSkip, actionOf(req.Body.Reason, nil))
	return openapi.SkipFile200JSONResponse(file), err
}

// RenotifyFile publishes the notification of a completed file again.
func (h handlers) RenotifyFile(ctx context.Context, req openapi.RenotifyFileRequestObject) (openapi.RenotifyFileResponseObject, error) {
	file, err := h.act(ctx, req.FileUUID.String(), ingest.ActionRenotify, actionOf(req.Body.Reason, nil))
	return openapi.RenotifyFile200JSONResponse(file), err
}

// ReprocessFile ingests a completed file again.
func (h handlers) ReprocessFile(ctx context.Context, req openapi.ReprocessFileRequestObject) (openapi.ReprocessFileResponseObject, error) {
	file, err := h.act(ctx, req.FileUUID.String(), ingest.ActionReprocess, actionOf(req.Body.Reason, nil))
	return openapi.ReprocessFile200JSONResponse(file), err
}

// RetryFiles retries failed files that a filter selects.
func (h handlers) RetryFiles(ctx context.Context, req openapi.RetryFilesRequestObject) (openapi.RetryFilesResponseObject, error) {
	if req.Body.Filter.Status != nil {
		return nil, invalid("status", "status: a retry selects only failed files; omit the field")
	}
	result, err := h.actOnAll(ctx, ingest.ActionRetry, *req.Body)
	return openapi.RetryFiles200JSONResponse(result), err
}

// SkipFiles skips files that a filter selects.
func (h handlers) SkipFiles(ctx context.Context, req openapi.SkipFilesRequestObject) (openapi.SkipFilesResponseObject, error) {
	if req.Body.From != nil {
		return nil, invalid("from", "from: applies only to a retry; omit the field")
	}
	result, err := h.actOnAll(ctx, ingest.ActionSkip, *req.Body)
	return openapi.SkipFiles200JSONResponse(result), err
}

func (h handlers) actOnAll(ctx context.Context, action ingest.Action, body openapi.BulkActionRequest) (openapi.BulkResult, error) {
	ctx, cancel := context.WithTimeout(ctx, actionTimeout)
	defer cancel()
	filter, err := selection(body.Filter, "filter.path")
	if err != nil {
		return openapi.BulkResult{}, err
	}
	request := operations.BulkRequest{
		Filter: filter, Action: action, Details: actionOf(body.Reason, body.From), Expected: body.ExpectedCount,
		DryRun: orZero(body.DryRun), Cursor: orZero(body.Cursor),
	}
	result, err := h.Operations.ActOnFiles(ctx, request)
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
	filter = ingest.FileFilter{
		UUIDs: orZero(s.FileUuids), Server: orZero(s.Server), Path: orZero(s.Path), Search: orZero(s.Search), Hash: strings.ToLower(orZero(s.Hash)),
		Statuses: texts[ingest.Status](s.Status), ErrorKinds: texts[ingest.Kind](s.ErrorKind), ErrorSteps: texts[ingest.Step](s.Step),
		From: orZero(s.From), To: orZero(s.To),
	}
	if s.Path != nil && !operations.ValidGlob(filter.Path) {
		err = invalid(pathField, fmt.Sprintf("path %q: not a valid glob; example: '**/*.csv'", ingest.Summary(filter.Path)))
	}
	return filter, err
}

// texts converts an optional list of names of the API.
func texts[T, S ~string](given *[]S) (all []T) {
	for _, text := range orZero(given) {
		all = append(all, T(text))
	}
	return all
}
