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

// clearScreen begins a screen anew.
const clearScreen = "\x1b[H\x1b[2J"

// maxWatched bounds how many files are looked at again and again.
const maxWatched = 1000

// underWay are the statuses that --watch shows when none is asked for.
var underWay = func() (statuses []openapi.FileStatus) {
	for _, status := range ingest.Statuses {
		if !status.Terminal() {
			statuses = append(statuses, openapi.FileStatus(status))
		}
	}
	return statuses
}()

// watchFiles shows the files until it is stopped: on a screen the whole list
// again and again, elsewhere a line for each change.
func (a *app) watchFiles(ctx context.Context, api *client.API, params openapi.ListFilesParams, limit int) error {
	if params.Status == nil {
		params.Status = &underWay
	}
	if limit <= 0 || limit > maxWatched {
		limit = maxWatched
	}
	seen := watched{}
	for {
		var files []openapi.File
		err := api.EachFile(ctx, params, limit, func(f openapi.File) error {
			files = append(files, f)
			return nil
		})
		if err == nil {
			err = a.showWatched(ctx, api, files, seen)
		}
		if err == nil {
			err = a.showGone(ctx, api, files, *params.Status, seen)
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

// watched holds when the files that were printed had changed, by uuid.
type watched map[string]time.Time

func (a *app) drawn() bool { return a.format == formatTable && a.screen }

func (a *app) showWatched(ctx context.Context, api *client.API, files []openapi.File, seen watched) error {
	if a.drawn() {
		return a.drawWatched(files, progressOf(ctx, api, files))
	}
	for _, file := range files {
		if file.UpdatedAt.Equal(seen[file.FileUUID]) {
			continue
		}
		seen[file.FileUUID] = file.UpdatedAt
		if err := a.showLine(file); err != nil {
			return err
		}
	}
	return nil
}

// drawWatched draws the screen anew.
func (a *app) drawWatched(files []openapi.File, progress map[string]openapi.Progress) error {
	now := time.Now()
	fmt.Fprintf(a.stdout, "%s%s  %d file(s); Ctrl-C ends\n\n", clearScreen, now.UTC().Format(time.TimeOnly+"Z"), len(files))
	rows := a.newList("UUID", "SERVER", "PATH", "SIZE", "STATUS", "UPDATED", "HOW IT STANDS")
	for _, file := range files {
		p, known := progress[file.FileUUID]
		cells := fileCells(file)
		cells[len(cells)-1] = stands(file, p, known, now)
		if err := rows.add(file, cells...); err != nil {
			return err
		}
	}
	return rows.end("nothing is under way")
}

// showGone prints a last line for files that the list no longer has because
// they are in another status now. Those that only fell off its end stay.
func (a *app) showGone(ctx context.Context, api *client.API, files []openapi.File, statuses []openapi.FileStatus, seen watched) error {
	if a.drawn() {
		return nil
	}
	listed := map[string]bool{}
	for _, file := range files {
		listed[file.FileUUID] = true
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
		if err := a.showLine(file); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) showLine(file openapi.File) error {
	if a.format == formatJSONL {
		return a.encode(file)
	}
	_, err := fmt.Fprintln(a.stdout, strings.Join(fileCells(file), "  "))
	return err
}

// watchFile prints what happens to a file until it has ended its way or waits
// for an operator.
func (a *app) watchFile(ctx context.Context, api *client.API, file openapi.File) error {
	last, before := int64(0), time.Time{}
	if a.format == formatTable {
		fmt.Fprintf(a.stdout, "%s  %s  %s\n", file.FileUUID, safe(file.Server), safe(file.RemotePath))
	}
	for {
		// Read before its events: what ended it is then among them.
		file, err := api.File(ctx, file.FileUUID)
		if err != nil {
			return stopped(ctx, err)
		}
		events, err := api.Events(ctx, file.FileUUID)
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
		if status := ingest.Status(file.Status); status.Terminal() || status == ingest.StatusError {
			if a.format == formatTable {
				fmt.Fprintf(a.stdout, "%s  %s\n", file.Status, dash(value(file.ErrorMessage)))
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

func (a *app) showEvent(event openapi.Event, before time.Time) error {
	if a.format == formatJSONL {
		return a.encode(event)
	}
	_, err := fmt.Fprintf(a.stdout, "%s  %-10s  %-20s  %s\n", clock(event.Timestamp), after(before, event.Timestamp), event.EventType, details(event.Details))
	return err
}
