package admin

import (
	"context"

	"stevedore/internal/ingest"
)

// Page sizes of file listings.
const (
	DefaultPage = 100
	MaxPage     = 1000
)

// FilePage is one page of files.
type FilePage = ingest.FilePage

// ListFiles returns one page. A server in the filter may be a name or a uuid;
// one that does not exist is an ErrNotFound, not an empty list.
func (a *Admin) ListFiles(ctx context.Context, filter ingest.FileFilter) (FilePage, error) {
	ledger, err := a.resolve(ctx, &filter)
	if err != nil {
		return FilePage{}, err
	}
	if filter.Limit <= 0 {
		filter.Limit = DefaultPage
	}
	filter.Limit = min(filter.Limit, MaxPage)
	page, err := ledger.FilesPage(ctx, filter)
	return cutPage(page), err
}

// maxPageBytes bounds the texts of a page: partners choose names of 4 KiB, which grow
// when they are shown.
const maxPageBytes = 4 << 20

// cutPage ends a page before its texts are too long. The rest is the next page.
func cutPage(page FilePage) FilePage {
	size := 0
	for i, file := range page.Files {
		size += len(ingest.DisplayPath(file.RemotePath)) + len(ingest.DisplayPath(file.Filename)) + len(file.ErrorMessage) + len(file.WaitsFor)
		if size > maxPageBytes && i > 0 {
			page.Files, page.Next = page.Files[:i], page.Files[i-1].ID
			break
		}
	}
	return page
}

// CountUpTo returns how many files the filter selects, counting at most so many.
// It ends soon whatever the filter: More says that it did not come to the end,
// because there are more than limit files or because too many had to be looked at.
func (a *Admin) CountUpTo(ctx context.Context, filter ingest.FileFilter, limit int64) (ingest.Count, error) {
	ledger, err := a.resolve(ctx, &filter)
	if err != nil {
		return ingest.Count{}, err
	}
	return ledger.CountUpTo(ctx, filter, limit)
}

// resolve returns the ledger, and puts the server's uuid in place of its name.
func (a *Admin) resolve(ctx context.Context, filter *ingest.FileFilter) (Ledger, error) {
	if filter.Server != "" {
		server, err := a.ShowServer(ctx, filter.Server)
		if err != nil {
			return nil, err
		}
		filter.Server = server.UUID
	}
	return a.d.Ledger(ctx)
}

// ShowFile returns the file with the uuid, or with a uuid that begins so if
// there is only one.
func (a *Admin) ShowFile(ctx context.Context, uuidOrPrefix string) (ingest.File, error) {
	ledger, err := a.d.Ledger(ctx)
	if err != nil {
		return ingest.File{}, err
	}
	file, err := ledger.FindFile(ctx, uuidOrPrefix)
	if absent(err) {
		return ingest.File{}, notFound("no file has the uuid %q: `stevedore file list` shows all", ingest.Summary(uuidOrPrefix))
	}
	return file, err
}

// EventPage is one page of what happened to a file.
type EventPage struct {
	Events []ingest.StoredEvent
	// Next is the id to go on after; 0 on the last page.
	Next int64
}

// EventsPage returns what happened to the file after the event with the id,
// oldest first; an unknown file is an ErrNotFound.
func (a *Admin) EventsPage(ctx context.Context, fileUUID string, afterID int64, limit int) (page EventPage, err error) {
	file, err := a.ShowFile(ctx, fileUUID)
	if err != nil {
		return page, err
	}
	ledger, err := a.d.Ledger(ctx)
	if err != nil {
		return page, err
	}
	page.Events, err = ledger.Events(ctx, file.UUID, afterID, limit)
	if len(page.Events) == limit {
		page.Next = page.Events[limit-1].ID
	}
	return page, err
}

// Events returns all that happened to the file, oldest first; an unknown file
// is an ErrNotFound.
func (a *Admin) Events(ctx context.Context, fileUUID string) (events []ingest.StoredEvent, err error) {
	for after := int64(0); ; {
		page, err := a.EventsPage(ctx, fileUUID, after, pageSize)
		if err != nil {
			return nil, err
		}
		events = append(events, page.Events...)
		if after = page.Next; after == 0 {
			return events, nil
		}
	}
}
