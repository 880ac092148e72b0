package servicedouble

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"stevedore/internal/access"
	"stevedore/internal/ingest"
	"stevedore/internal/operations"
	"stevedore/internal/orchestrator"
	"stevedore/workflows"
)

// ListFiles implements operations.Files. Of the filter it applies the uuid and the position.
func (s *Service) ListFiles(_ context.Context, filter ingest.FileFilter) (ingest.Page[ingest.File], error) {
	s.Filter = filter
	var files []ingest.File
	for _, file := range s.Files {
		if strings.HasPrefix(file.UUID, filter.UUID) {
			files = append(files, file)
		}
	}
	return page(files, func(f ingest.File) int64 { return f.ID }, filter.AfterID, filter.Limit), s.ReadErr
}

// CountFiles implements operations.Files.
func (s *Service) CountFiles(context.Context, ingest.FileFilter, int64) (ingest.Count, error) {
	return ingest.Count{N: int64(len(s.Files))}, nil
}

// GetFile implements operations.Files.
func (s *Service) GetFile(_ context.Context, uuid string) (ingest.File, error) {
	for _, file := range s.Files {
		if file.UUID == uuid {
			return file, nil
		}
	}
	return ingest.File{}, missing("no file has the uuid %q", uuid)
}

// FileEvents implements operations.Files.
func (s *Service) FileEvents(context.Context, string) ([]ingest.StoredEvent, error) {
	return s.Events, s.ReadErr
}

// ListFileEvents implements operations.Files.
func (s *Service) ListFileEvents(_ context.Context, _ string, after int64, limit int) (ingest.Page[ingest.StoredEvent], error) {
	return page(s.Events, func(e ingest.StoredEvent) int64 { return e.ID }, after, limit), s.ReadErr
}

// ListFailures implements operations.Files.
func (s *Service) ListFailures(context.Context, string) ([]ingest.FailureGroup, bool, error) {
	return s.Failures, s.MoreFailures, s.ReadErr
}

// Progress implements operations.Files.
func (s *Service) Progress(_ context.Context, files []ingest.File) map[string]orchestrator.Progress {
	progress := map[string]orchestrator.Progress{}
	for _, file := range files {
		if p, known := s.Progressing[file.UUID]; known {
			progress[file.UUID] = p
		}
	}
	return progress
}

// ActOnFile implements operations.Files.
func (s *Service) ActOnFile(ctx context.Context, uuid string, action ingest.Action, details workflows.OperatorAction) (ingest.File, error) {
	s.record("%s %s from %q by %s: %s", action, uuid, details.From, access.From(ctx).Name, details.Reason)
	if err := cmp.Or(s.Refused[uuid], s.Err); err != nil {
		return ingest.File{}, err
	}
	return s.GetFile(ctx, uuid)
}

// ActOnFiles implements operations.Files.
func (s *Service) ActOnFiles(_ context.Context, request operations.BulkRequest) (operations.BulkResult, error) {
	s.Bulk = append(s.Bulk, request)
	result := operations.BulkResult{Matched: s.Matched, Remaining: s.Matched, Err: s.BatchErr}
	if request.DryRun {
		return result, s.Err
	}
	result.Done = min(cmp.Or(s.BatchSize, s.Matched), s.Matched)
	s.Matched -= result.Done
	if result.Remaining = s.Matched; s.Matched > 0 {
		result.Next = fmt.Sprintf("behind-%d", len(s.Bulk))
	}
	if s.RefusesOne {
		result.Done--
		result.Failed = 1
		result.Failures = []operations.BulkFailure{{FileUUID: fmt.Sprintf("refused-%d", len(s.Bulk)), Message: "no"}}
	}
	return result, s.Err
}
