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

// EachFile calls fn for each file that the parameters select, page by page, until fn
// returns an error. A positive limit bounds the number of files; the limit in params
// is not used.
func (c *API) EachFile(ctx context.Context, params openapi.ListFilesParams, limit int, fn func(openapi.File) error) error {
	for seen := 0; ; {
		size := pageSize
		if limit > 0 {
			size = min(size, limit-seen)
		}
		params.Limit = &size
		page, err := reply[openapi.FilePage]{c}.of(c.raw.ListFiles(ctx, &params))
		if err != nil {
			return err
		}
		for _, file := range page.Files {
			if err := fn(file); err != nil {
				return err
			}
		}
		seen += len(page.Files)
		if page.NextCursor == nil || limit > 0 && seen >= limit {
			return nil
		}
		params.Cursor = page.NextCursor
	}
}

// File returns the file with the uuid, or the only file whose uuid has the prefix.
func (c *API) File(ctx context.Context, uuidOrPrefix string) (openapi.File, error) {
	if id, err := uuid.Parse(uuidOrPrefix); err == nil {
		return reply[openapi.File]{c}.of(c.raw.GetFile(ctx, id))
	}
	var found []openapi.File
	err := c.EachFile(ctx, openapi.ListFilesParams{UUID: &uuidOrPrefix}, 2, func(f openapi.File) error {
		found = append(found, f)
		return nil
	})
	name := ingest.Summary(uuidOrPrefix)
	switch {
	case ingest.IsKind(err, ingest.KindInvalid):
		return openapi.File{}, ingest.Errorf(ingest.KindInvalid, "file %q: give a uuid, or at least its first 4 hex digits", name)
	case err != nil:
		return openapi.File{}, err
	case len(found) == 0:
		return openapi.File{}, ingest.Wrap(ingest.KindMissing, ingest.ErrNotFound, "no file has the uuid %q: `stevedore file list` lists all files", name)
	case len(found) > 1:
		return openapi.File{}, ingest.Errorf(ingest.KindConflict, "more than one file has a uuid that starts with %q: give more digits", name)
	}
	return found[0], nil
}

// Events returns the events of a file, oldest first.
func (c *API) Events(ctx context.Context, fileUUID string) (events []openapi.Event, err error) {
	id, err := uuid.Parse(fileUUID)
	if err != nil {
		return nil, ingest.Errorf(ingest.KindInvalid, "file %q: give a uuid", ingest.Summary(fileUUID))
	}
	size := pageSize
	for params := (openapi.ListFileEventsParams{Limit: &size}); ; {
		page, err := reply[openapi.EventList]{c}.of(c.raw.ListFileEvents(ctx, id, &params))
		if err != nil {
			return nil, err
		}
		events = append(events, page.Events...)
		if params.Cursor = page.NextCursor; params.Cursor == nil {
			return events, nil
		}
	}
}

const (
	// progressTimeout bounds the requests for progress: the ledger's data is shown
	// without.
	progressTimeout = 4 * time.Second
	// progressParallel bounds concurrent requests for progress.
	progressParallel = 8
)

// Progress returns the progress of the files' current steps by file uuid. Files without
// a running step, and files without a response in time, are omitted.
func (c *API) Progress(ctx context.Context, files []openapi.File) map[string]openapi.Progress {
	ctx, cancel := context.WithTimeout(ctx, progressTimeout)
	defer cancel()
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(progressParallel)
	found := map[string]openapi.Progress{}
	for _, file := range files {
		id, err := uuid.Parse(file.FileUUID)
		if err != nil || !ingest.Status(file.Status).InFlight() {
			continue
		}
		group.Go(func() error {
			answer, err := reply[openapi.FileProgress]{c}.of(c.raw.GetFileProgress(ctx, id))
			if err == nil && answer.Progress != nil {
				mu.Lock()
				defer mu.Unlock()
				found[file.FileUUID] = *answer.Progress
			}
			return nil
		})
	}
	_ = group.Wait() // no function returns an error
	return found
}

// RetryFile restarts a failed file from a step; nil is the failed step.
func (c *API) RetryFile(ctx context.Context, fileUUID string, decision openapi.RetryDecision) error {
	id, err := uuid.Parse(fileUUID)
	if err != nil {
		return c.unreadable(err)
	}
	_, err = reply[openapi.File]{c}.of(c.raw.RetryFile(ctx, id, nil, decision))
	return err
}

// SkipFile ends a failed file as skipped.
func (c *API) SkipFile(ctx context.Context, fileUUID string, decision openapi.Decision) error {
	id, err := uuid.Parse(fileUUID)
	if err != nil {
		return c.unreadable(err)
	}
	_, err = reply[openapi.File]{c}.of(c.raw.SkipFile(ctx, id, nil, decision))
	return err
}

// RenotifyFile publishes the notification of a file again.
func (c *API) RenotifyFile(ctx context.Context, fileUUID string, decision openapi.Decision) error {
	id, err := uuid.Parse(fileUUID)
	if err != nil {
		return c.unreadable(err)
	}
	_, err = reply[openapi.File]{c}.of(c.raw.RenotifyFile(ctx, id, nil, decision))
	return err
}

// ReprocessFile ingests a completed file again whose object is lost.
func (c *API) ReprocessFile(ctx context.Context, fileUUID string, decision openapi.Decision) error {
	id, err := uuid.Parse(fileUUID)
	if err != nil {
		return c.unreadable(err)
	}
	_, err = reply[openapi.File]{c}.of(c.raw.ReprocessFile(ctx, id, nil, decision))
	return err
}

// RetryFiles retries up to 500 of the failed files that the decision's filter selects.
func (c *API) RetryFiles(ctx context.Context, decision openapi.BulkDecision) (openapi.BulkResult, error) {
	return reply[openapi.BulkResult]{c}.of(c.raw.RetryFiles(ctx, nil, decision))
}

// SkipFiles skips up to 500 of the failed files that the decision's filter selects.
func (c *API) SkipFiles(ctx context.Context, decision openapi.BulkDecision) (openapi.BulkResult, error) {
	return reply[openapi.BulkResult]{c}.of(c.raw.SkipFiles(ctx, nil, decision))
}
