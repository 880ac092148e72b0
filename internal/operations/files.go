package operations

import (
	"context"

	"stevedore/internal/ingest"
)

// Page sizes of file listings.
const (
	DefaultPage = 100
	MaxPage     = 1000
)

// ListFiles implements Files.
func (s *Service) ListFiles(ctx context.Context, filter ingest.FileFilter) (page ingest.Page[ingest.File], err error) {
	if filter.Server, err = s.uuidOf(ctx, filter.Server); err != nil {
		return page, err
	}
	if filter.Limit <= 0 {
		filter.Limit = DefaultPage
	}
	filter.Limit = min(filter.Limit, MaxPage)
	page, err = s.d.Ledger.FilesPage(ctx, filter)
	return cutPage(page), err
}

// maxPageBytes bounds the texts of a page: partners choose names of 4 KiB, which grow
// when they are shown.
const maxPageBytes = 4 << 20

// cutPage ends a page before its texts are too long. The rest is the next page.
func cutPage(page ingest.Page[ingest.File]) ingest.Page[ingest.File] {
	size := 0
	for i, file := range page.Items {
		size += len(ingest.DisplayPath(file.RemotePath)) + len(ingest.DisplayPath(file.Filename)) + len(file.ErrorMessage) + len(file.WaitsFor)
		if size > maxPageBytes && i > 0 {
			page.Items, page.Next = page.Items[:i], page.Items[i-1].ID
			break
		}
	}
	return page
}

// CountFiles implements Files.
func (s *Service) CountFiles(ctx context.Context, filter ingest.FileFilter, limit int64) (count ingest.Count, err error) {
	if filter.Server, err = s.uuidOf(ctx, filter.Server); err != nil {
		return count, err
	}
	return s.d.Ledger.CountUpTo(ctx, filter, limit)
}

// GetFile implements Files.
func (s *Service) GetFile(ctx context.Context, uuidOrPrefix string) (ingest.File, error) {
	file, err := s.d.Ledger.FindFile(ctx, uuidOrPrefix)
	if ingest.IsMissingRow(err) {
		return ingest.File{}, notFound("no file has the uuid %q: `stevedore file list` shows all", ingest.Summary(uuidOrPrefix))
	}
	return file, err
}

// ListFileEvents implements Files.
func (s *Service) ListFileEvents(ctx context.Context, uuidOrPrefix string, afterID int64, limit int) (page ingest.Page[ingest.StoredEvent], err error) {
	file, err := s.GetFile(ctx, uuidOrPrefix)
	if err != nil {
		return page, err
	}
	events, err := s.d.Ledger.Events(ctx, file.UUID, afterID, limit)
	return ingest.PageOf(events, limit, func(e ingest.StoredEvent) int64 { return e.ID }), err
}

// FileEvents implements Files.
func (s *Service) FileEvents(ctx context.Context, uuidOrPrefix string) (events []ingest.StoredEvent, err error) {
	for after := int64(0); ; {
		page, err := s.ListFileEvents(ctx, uuidOrPrefix, after, pageSize)
		if err != nil {
			return nil, err
		}
		events = append(events, page.Items...)
		if after = page.Next; after == 0 {
			return events, nil
		}
	}
}
