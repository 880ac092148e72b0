package client

import (
	"context"
	"iter"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

// Files returns the files that the parameters select, page by page, and ends at the
// first error. A positive limit bounds the number of files; the limit in params is not
// used.
func (c *API) Files(ctx context.Context, params openapi.ListFilesParams, limit int) iter.Seq2[openapi.File, error] {
	return items(limit, func(size int, cursor *string) ([]openapi.File, *string, error) {
		params.Limit, params.Cursor = &size, cursor
		page, err := read[openapi.FilePage](c.raw.ListFiles(ctx, &params))
		return page.Files, page.NextCursor, err
	})
}

// File returns the file with the uuid, or the only file whose uuid has the prefix.
func (c *API) File(ctx context.Context, uuidOrPrefix string) (file openapi.File, _ error) {
	if id, err := uuid.Parse(uuidOrPrefix); err == nil {
		return read[openapi.File](c.raw.GetFile(ctx, id))
	}
	name, found := ingest.Summary(uuidOrPrefix), 0
	for candidate, err := range c.Files(ctx, openapi.ListFilesParams{UUID: &uuidOrPrefix}, 2) {
		if ingest.IsKind(err, ingest.KindInvalid) {
			return file, ingest.Errorf(ingest.KindInvalid, "file %q: use a uuid, or at least its first 4 hex digits", name)
		}
		if err != nil {
			return file, err
		}
		file, found = candidate, found+1
	}
	switch found {
	case 0:
		return file, ingest.Wrap(ingest.KindMissing, ingest.ErrNotFound, "no file has the uuid %q: `stevedore file list` lists all files", name)
	case 1:
		return file, nil
	}
	return openapi.File{}, ingest.Errorf(ingest.KindConflict, "more than one file has a uuid that starts with %q: use more digits", name)
}

// Failures groups the failed files of a server, by name or uuid; empty means all.
func (c *API) Failures(ctx context.Context, server string) (openapi.FailureList, error) {
	return read[openapi.FailureList](c.raw.ListFailures(ctx, &openapi.ListFailuresParams{Server: given(server)}))
}

// Events returns the events of a file, oldest first.
func (c *API) Events(ctx context.Context, fileUUID string) (events []openapi.Event, err error) {
	id, err := parseUUID("file", fileUUID)
	if err != nil {
		return nil, err
	}
	for event, err := range items(0, func(size int, cursor *string) ([]openapi.Event, *string, error) {
		page, err := read[openapi.EventList](c.raw.ListFileEvents(ctx, id, &openapi.ListFileEventsParams{Limit: &size, Cursor: cursor}))
		return page.Events, page.NextCursor, err
	}) {
		if err != nil {
			return nil, err
		}
		events = append(events, event)
	}
	return events, nil
}

const (
	// progressTimeout bounds the requests for progress: the ledger's data is shown
	// without.
	progressTimeout = 4 * time.Second
	// progressParallel bounds concurrent requests for progress.
	progressParallel = 8
	// maxProgress bounds the requests: each is a call to Temporal.
	maxProgress = 50
)

// Progress returns the progress of the current steps by file uuid, of the first 50 files
// in flight. Files without a running step, or without a response in time, are omitted.
func (c *API) Progress(ctx context.Context, files []openapi.File) map[string]openapi.Progress {
	ctx, cancel := context.WithTimeout(ctx, progressTimeout)
	defer cancel()
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(progressParallel)
	found, requested := map[string]openapi.Progress{}, 0
	for _, file := range files {
		id, err := uuid.Parse(file.FileUUID)
		if err != nil || !ingest.Status(file.Status).InFlight() || requested == maxProgress {
			continue
		}
		requested++
		group.Go(func() error {
			shown, err := read[openapi.FileProgress](c.raw.GetFileProgress(ctx, id))
			if err == nil && shown.Progress != nil {
				mu.Lock()
				defer mu.Unlock()
				found[file.FileUUID] = *shown.Progress
			}
			return nil
		})
	}
	_ = group.Wait() // no function returns an error
	return found
}

// Action is an operator action on files.
type Action string

// The operator actions. Retry and Skip are for failed files, Renotify and Reprocess for
// completed ones.
const (
	Retry     Action = "retry"
	Skip      Action = "skip"
	Renotify  Action = "renotify"
	Reprocess Action = "reprocess"
)

// ActOnFile carries out the action on a file. The step is where a Retry resumes; nil is
// the failed step.
func (c *API) ActOnFile(ctx context.Context, action Action, fileUUID, reason string, step *openapi.StepName) error {
	id, err := parseUUID("file", fileUUID)
	if err != nil {
		return err
	}
	var response *http.Response
	switch decision := (openapi.Decision{Reason: reason}); action {
	case Retry:
		response, err = c.raw.RetryFile(ctx, id, nil, openapi.RetryDecision{Reason: reason, From: step})
	case Skip:
		response, err = c.raw.SkipFile(ctx, id, nil, decision)
	case Renotify:
		response, err = c.raw.RenotifyFile(ctx, id, nil, decision)
	case Reprocess:
		response, err = c.raw.ReprocessFile(ctx, id, nil, decision)
	}
	_, err = read[openapi.File](response, err)
	return err
}

// ActOnFiles retries, or with Skip skips, up to 500 of the failed files that the
// decision's filter selects.
func (c *API) ActOnFiles(ctx context.Context, action Action, decision openapi.BulkDecision) (openapi.BulkResult, error) {
	if action == Skip {
		return read[openapi.BulkResult](c.raw.SkipFiles(ctx, nil, decision))
	}
	return read[openapi.BulkResult](c.raw.RetryFiles(ctx, nil, decision))
}
