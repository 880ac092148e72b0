package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"stevedore/api/client"
	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

const (
	clearScreen = "\x1b[H\x1b[2J"
	// maxWatched bounds the files of a watched list.
	maxWatched = 1000
	// headerLines are the lines of a screen that are not files.
	headerLines = 5
)

// watch calls look at intervals until it returns true or ctx ends. The end of ctx is not
// an error.
func (a *app) watch(ctx context.Context, look func() (done bool, err error)) error {
	for {
		done, err := look()
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // an interrupt is the usual end
		case err != nil || done:
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(a.refresh):
		}
	}
}

// watchFiles shows the files until it is interrupted: on a terminal as a table that is
// redrawn, elsewhere with a line for each change.
func (a *app) watchFiles(ctx context.Context, api *client.API, params openapi.ListFilesParams, limit int) error {
	if params.Status == nil {
		statuses := fileStatuses(func(status ingest.Status) bool { return !status.Terminal() })
		params.Status = &statuses
	}
	if limit <= 0 || limit > maxWatched {
		limit = maxWatched
	}
	seen := map[string]time.Time{}
	return a.watch(ctx, func() (bool, error) {
		files, err := collect(api.ListFiles(ctx, params, limit))
		if err != nil {
			return false, err
		}
		if a.format == formatTable && a.width() > 0 {
			return false, a.drawFiles(files, api.Progress(ctx, files))
		}
		return false, a.showChanged(ctx, api, files, *params.Status, seen)
	})
}

// drawFiles redraws the screen with the files that fit it.
func (a *app) drawFiles(files []openapi.File, progress map[string]openapi.Progress) error {
	_, height := a.stdoutSize()
	shown := files[:min(len(files), max(1, height-headerLines))]
	t := a.newTable()
	for _, file := range shown {
		var p *openapi.Progress
		if running, ok := progress[file.FileUUID]; ok {
			p = &running
		}
		cells := a.fileCells(file)
		cells[len(cells)-1] = cell{"PROGRESS", a.reason(file, p)}
		t.cells(cells...)
	}
	if more := len(files) - len(shown); more > 0 {
		t.text("and %d more", more)
	}
	if len(files) == 0 {
		t.text("no files are in flight or failed")
	}
	fmt.Fprintf(a.stdout, "%s%s  %s; Ctrl-C ends\n\n", clearScreen, a.now().UTC().Format(time.TimeOnly+"Z"), ingest.Counted(int64(len(files)), "file", "files"))
	return t.print(a.stdout)
}

// showChanged prints a line for each file that changed, and a last line for files that
// left the list because their status changed. Files beyond the limit of the list are
// not ended.
func (a *app) showChanged(ctx context.Context, api *client.API, files []openapi.File, statuses []openapi.FileStatus, seen map[string]time.Time) error {
	listed := map[string]bool{}
	for _, file := range files {
		listed[file.FileUUID] = true
		if file.UpdatedAt.Equal(seen[file.FileUUID]) {
			continue
		}
		seen[file.FileUUID] = file.UpdatedAt
		if err := a.showFileLine(file); err != nil {
			return err
		}
	}
	for _, uuid := range slices.Sorted(maps.Keys(seen)) {
		if listed[uuid] {
			continue
		}
		file, err := api.File(ctx, uuid)
		if err != nil {
			return err
		}
		if slices.Contains(statuses, file.Status) {
			continue
		}
		delete(seen, uuid)
		if err := a.showFileLine(file); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) showFileLine(file openapi.File) error {
	var line []string
	for _, c := range a.fileCells(file) {
		line = append(line, c.text)
	}
	return a.showText(file, "%s", strings.Join(line, "  "))
}

// watchFile prints the events of a file until the file has ended or failed.
func (a *app) watchFile(ctx context.Context, api *client.API, file openapi.File) error {
	last, before := int64(0), time.Time{}
	if a.format == formatTable {
		fmt.Fprintf(a.stdout, "%s  %s  %s\n", file.FileUUID, safe(file.Server), safe(file.RemotePath))
	}
	return a.watch(ctx, func() (bool, error) {
		// Read before its events, so that these include the event that ended it.
		file, err := api.File(ctx, file.FileUUID)
		if err != nil {
			return false, err
		}
		events, err := collect(api.ListFileEvents(ctx, file.FileUUID, openapi.ListFileEventsParams{}, 0))
		if err != nil {
			return false, err
		}
		for _, event := range events {
			if event.ID <= last {
				continue
			}
			line := fmt.Sprintf("%s  %-10s  %-20s  %s", clock(event.Timestamp), since(before, event.Timestamp), event.EventType, details(event.Details))
			if err := a.showText(event, "%s", line); err != nil {
				return false, err
			}
			last, before = event.ID, event.Timestamp
		}
		status := ingest.Status(file.Status)
		ended := status.Terminal() || status == ingest.StatusError
		if ended && a.format == formatTable {
			fmt.Fprintf(a.stdout, "%s  %s\n", file.Status, dash(value(file.ErrorMessage)))
		}
		return ended, nil
	})
}
