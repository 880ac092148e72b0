package remote

import (
	"cmp"
	"context"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"stevedore/api/oas"
	"stevedore/internal/admin"
	"stevedore/internal/ingest"
	"stevedore/workflows"
)

// EachFile calls fn for every file of the filter, page by page, until fn
// returns an error. A positive limit ends it after so many files.
func (c *Client) EachFile(ctx context.Context, filter ingest.FileFilter, limit int, fn func(ingest.File) error) error {
	params := listParams(filter)
	for seen := 0; ; {
		size := admin.MaxPage
		if limit > 0 {
			size = min(size, limit-seen)
		}
		params.Limit = &size
		page, err := reply[oas.FilePage]{c}.of(c.api.ListFiles(ctx, &params))
		if err != nil {
			return err
		}
		for _, shown := range page.Files {
			file, err := toFile(shown)
			if err != nil {
				return err
			}
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

func listParams(filter ingest.FileFilter) oas.ListFilesParams {
	selected := selection(filter)
	params := oas.ListFilesParams{
		Server: selected.Server, Path: selected.Path, From: selected.From, To: selected.To, Hash: selected.Hash, UUID: orNil(filter.UUID),
	}
	params.Left = orNil(filter.Left)
	if filter.Order != "" {
		order := oas.FileOrder(filter.Order)
		params.Order = &order
	}
	if len(filter.Statuses) > 0 {
		var statuses []oas.FileStatus
		for _, status := range filter.Statuses {
			statuses = append(statuses, oas.FileStatus(status))
		}
		params.Status = &statuses
	}
	return params
}

func selection(f ingest.FileFilter) oas.FileSelection {
	return oas.FileSelection{Server: orNil(f.Server), Path: orNil(f.Path), From: orNil(f.From), To: orNil(f.To), Hash: orNil(f.Hash)}
}

// ShowFile returns the file with the uuid, or with a uuid that begins so if
// there is only one.
func (c *Client) ShowFile(ctx context.Context, uuidOrPrefix string) (ingest.File, error) {
	if id, err := uuid.Parse(uuidOrPrefix); err == nil {
		shown, err := reply[oas.File]{c}.of(c.api.GetFile(ctx, id))
		if err != nil {
			return ingest.File{}, err
		}
		return toFile(shown)
	}
	var found []ingest.File
	err := c.EachFile(ctx, ingest.FileFilter{UUID: uuidOrPrefix}, 2, func(f ingest.File) error {
		found = append(found, f)
		return nil
	})
	switch {
	case ingest.IsKind(err, ingest.KindInvalid):
		return ingest.File{}, ingest.Errorf(ingest.KindInvalid, "file %q: give a uuid, or at least its first 4 hex digits", ingest.Summary(uuidOrPrefix))
	case err != nil:
		return ingest.File{}, err
	case len(found) == 0:
		return ingest.File{}, ingest.Wrap(ingest.KindMissing, admin.ErrNotFound,
			"no file has the uuid %q: `stevedore file list` shows all", ingest.Summary(uuidOrPrefix))
	case len(found) > 1:
		return ingest.File{}, ingest.Errorf(ingest.KindConflict, "more than one file's uuid begins with %q: give more digits", ingest.Summary(uuidOrPrefix))
	}
	return found[0], nil
}

// Events returns all that happened to the file, oldest first.
func (c *Client) Events(ctx context.Context, fileUUID string) ([]ingest.StoredEvent, error) {
	id, err := uuid.Parse(fileUUID)
	if err != nil {
		return nil, ingest.Errorf(ingest.KindInvalid, "file %q: give a uuid", ingest.Summary(fileUUID))
	}
	var events []ingest.StoredEvent
	size := admin.MaxPage
	for params := (oas.ListFileEventsParams{Limit: &size}); ; {
		page, err := reply[oas.EventList]{c}.of(c.api.ListFileEvents(ctx, id, &params))
		if err != nil {
			return nil, err
		}
		for _, event := range page.Events {
			events = append(events, toEvent(event))
		}
		if params.Cursor = page.NextCursor; params.Cursor == nil {
			return events, nil
		}
	}
}

const (
	// progressTimeout bounds what is waited for: without an answer there is
	// what the ledger knows.
	progressTimeout = 4 * time.Second
	// progressAtOnce bounds the questions under way.
	progressAtOnce = 8
)

// Progress returns how the files' steps stand, by uuid. Files that are not
// under way, and those about which there is no answer in time, are left out.
func (c *Client) Progress(ctx context.Context, files []ingest.File) map[string]admin.Progress {
	ctx, cancel := context.WithTimeout(ctx, progressTimeout)
	defer cancel()
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(progressAtOnce)
	found := map[string]admin.Progress{}
	for _, file := range files {
		id, err := uuid.Parse(file.UUID)
		if err != nil || !admin.Underway(file.Status) {
			continue
		}
		group.Go(func() error {
			answer, err := reply[oas.FileProgress]{c}.of(c.api.GetFileProgress(ctx, id))
			if err == nil && answer.Progress != nil {
				mu.Lock()
				defer mu.Unlock()
				found[file.UUID] = toProgress(*answer.Progress)
			}
			return nil
		})
	}
	_ = group.Wait() // none of them fails
	return found
}

// Decide carries out an operator's decision on a file, and returns the file as
// it was. The actor is the token's name, whatever the decision says.
func (c *Client) Decide(ctx context.Context, uuidOrPrefix string, action admin.Action, d workflows.Decision) (ingest.File, error) {
	file, err := c.ShowFile(ctx, uuidOrPrefix)
	if err != nil {
		return file, err
	}
	id, err := uuid.Parse(file.UUID)
	if err != nil {
		return file, c.unreadable(err)
	}
	decision, read := oas.Decision{Reason: reason(d)}, reply[oas.File]{c}
	switch action {
	case admin.Retry:
		_, err = read.of(c.api.RetryFile(ctx, id, nil, oas.RetryDecision{Reason: decision.Reason, From: from(d)}))
	case admin.Skip:
		_, err = read.of(c.api.SkipFile(ctx, id, nil, decision))
	case admin.Reprocess:
		_, err = read.of(c.api.ReprocessFile(ctx, id, nil, decision))
	default:
		_, err = read.of(c.api.RenotifyFile(ctx, id, nil, decision))
	}
	return file, err
}

// reason says something where nobody did: the API wants a word for the history.
func reason(d workflows.Decision) string { return cmp.Or(d.Reason, "by command line, no reason given") }

func from(d workflows.Decision) *oas.StepName { return orNil(oas.StepName(d.From)) }

// DecideAll decides on up to 500 files in error at once.
func (c *Client) DecideAll(ctx context.Context, req admin.BulkRequest) (admin.BulkResult, error) {
	body := oas.BulkDecision{
		Filter: selection(req.Filter), Reason: reason(req.Decision), From: from(req.Decision), DryRun: &req.DryRun, ExpectedCount: req.Expected,
		Cursor: orNil(req.Cursor),
	}
	read := reply[oas.BulkResult]{c}
	var answer oas.BulkResult
	var err error
	switch action := req.Action; action {
	case admin.Retry:
		answer, err = read.of(c.api.RetryFiles(ctx, nil, body))
	case admin.Skip:
		answer, err = read.of(c.api.SkipFiles(ctx, nil, body))
	default:
		err = ingest.Errorf(ingest.KindInvalid, "%s works on one file after another", strings.ToLower(string(action)))
	}
	result := admin.BulkResult{
		Matched: answer.Matched, Done: answer.Done, Failed: answer.Failed, Remaining: answer.Remaining, Next: orZero(answer.NextCursor),
	}
	if answer.Error != nil {
		result.Err = ingest.Errorf(ingest.KindTransient, "%s", ingest.DisplayPath(*answer.Error))
	}
	for _, failure := range answer.Failures {
		result.Failures = append(result.Failures, admin.BulkFailure{FileUUID: failure.FileUUID, Message: failure.Message})
	}
	return result, err
}
