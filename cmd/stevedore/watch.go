package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"stevedore/api/oas"
	"stevedore/internal/admin"
	"stevedore/internal/ingest"
)

// clearScreen begins a screen anew.
const clearScreen = "\x1b[H\x1b[2J"

// maxWatched bounds how many files are looked at again and again.
const maxWatched = admin.MaxPage

// underWay are the statuses that --watch shows when none is asked for.
var underWay = []ingest.Status{
	ingest.StatusDiscovered, ingest.StatusReady, ingest.StatusDownloading, ingest.StatusDownloaded, ingest.StatusVerified,
	ingest.StatusUploading, ingest.StatusUploaded, ingest.StatusError,
}

// watchFiles shows the files until it is stopped: on a screen the whole list
// again and again, elsewhere a line for each change.
func (a *app) watchFiles(ctx context.Context, ops operations, filter ingest.FileFilter, limit int) error {
	if len(filter.Statuses) == 0 {
		filter.Statuses = underWay
	}
	if limit <= 0 || limit > maxWatched {
		limit = maxWatched
	}
	seen := map[string]time.Time{}
	for {
		var files []ingest.File
		err := ops.EachFile(ctx, filter, limit, func(f ingest.File) error {
			files = append(files, f)
			return nil
		})
		if err == nil {
			err = a.showWatched(files, seen)
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil // stopping it is how it ends
		case <-time.After(a.interval):
		}
	}
}

func (a *app) showWatched(files []ingest.File, seen map[string]time.Time) error {
	if a.format == formatTable && a.screen {
		fmt.Fprintf(a.stdout, "%s%s  %d file(s); Ctrl-C ends\n\n", clearScreen, time.Now().UTC().Format(time.TimeOnly+"Z"), len(files))
		rows := a.newFileList()
		for _, file := range files {
			if err := rows.add(oas.FromFile(file), fileCells(file)...); err != nil {
				return err
			}
		}
		return rows.end("nothing is under way")
	}
	for _, file := range files {
		if file.UpdatedAt.Equal(seen[file.UUID]) {
			continue
		}
		seen[file.UUID] = file.UpdatedAt
		if a.format == formatJSONL {
			if err := a.encode(oas.FromFile(file)); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintln(a.stdout, strings.Join(fileCells(file), "  "))
	}
	return nil
}

// watchFile prints what happens to a file until it has ended its way or waits
// for an operator.
func (a *app) watchFile(ctx context.Context, ops operations, file ingest.File) error {
	last, before := int64(0), time.Time{}
	if a.format == formatTable {
		fmt.Fprintf(a.stdout, "%s  %s  %s\n", file.UUID, safe(file.ServerName), safe(file.RemotePath))
	}
	for {
		// Read before its events: what ended it is then among them.
		file, err := ops.ShowFile(ctx, file.UUID)
		if err != nil {
			return stopped(ctx, err)
		}
		events, err := ops.Events(ctx, file.UUID)
		if err != nil {
			return stopped(ctx, err)
		}
		for _, event := range events {
			if event.ID <= last {
				continue
			}
			last = event.ID
			if err := a.showEvent(event, before); err != nil {
				return err
			}
			before = event.Timestamp
		}
		if file.Status.Terminal() || file.Status == ingest.StatusError {
			if a.format == formatTable {
				fmt.Fprintf(a.stdout, "%s  %s\n", file.Status, dash(file.ErrorMessage))
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(a.interval):
		}
	}
}

// stopped is no error when a person stopped it.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}

func (a *app) showEvent(event ingest.StoredEvent, before time.Time) error {
	if a.format == formatJSONL {
		return a.encode(oas.FromEvent(event))
	}
	_, err := fmt.Fprintf(a.stdout, "%s  %-10s  %-20s  %s\n", clock(event.Timestamp), after(before, event.Timestamp), event.Type, details(event.Details))
	return err
}
