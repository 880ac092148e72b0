package client

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

// Server returns the server with the name or uuid, and its version for the If-Match of
// EditServer and RemoveServer.
func (c *API) Server(ctx context.Context, nameOrUUID string) (server openapi.Server, version openapi.IfMatch, err error) {
	response, err := c.raw.GetServer(ctx, nameOrUUID)
	if server, err = read[openapi.Server](response, err); err == nil {
		version = response.Header.Get("ETag")
	}
	return server, version, err
}

// File returns the file with the uuid, or the only file whose uuid has the prefix.
func (c *API) File(ctx context.Context, uuidOrPrefix string) (file openapi.File, _ error) {
	if _, err := uuid.Parse(uuidOrPrefix); err == nil {
		return c.GetFile(ctx, uuidOrPrefix)
	}
	name, found := ingest.Summary(uuidOrPrefix), 0
	for candidate, err := range c.ListFiles(ctx, openapi.ListFilesParams{UUID: &uuidOrPrefix}, 2) {
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
		if !ingest.Status(file.Status).InFlight() || requested == maxProgress {
			continue
		}
		requested++
		group.Go(func() error {
			shown, err := c.GetFileProgress(ctx, file.FileUUID)
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

// ActOnFile carries out the action on a file. The step is where a Retry resumes; nil is
// the failed step.
func (c *API) ActOnFile(ctx context.Context, action ingest.Action, fileUUID, reason string, step *openapi.StepName) (err error) {
	switch request := (openapi.ActionRequest{Reason: reason}); action {
	case ingest.ActionRetry:
		_, err = c.RetryFile(ctx, fileUUID, openapi.RetryRequest{Reason: reason, From: step})
	case ingest.ActionSkip:
		_, err = c.SkipFile(ctx, fileUUID, request)
	case ingest.ActionRenotify:
		_, err = c.RenotifyFile(ctx, fileUUID, request)
	case ingest.ActionReprocess:
		_, err = c.ReprocessFile(ctx, fileUUID, request)
	}
	return err
}

// ActOnFiles retries, or with Skip skips, up to 500 of the failed files that the
// request's filter selects.
func (c *API) ActOnFiles(ctx context.Context, action ingest.Action, request openapi.BulkActionRequest) (openapi.BulkResult, error) {
	if action == ingest.ActionSkip {
		return c.SkipFiles(ctx, request)
	}
	return c.RetryFiles(ctx, request)
}
