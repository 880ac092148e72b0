package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stevedore/api/client"
	"stevedore/api/openapi"
	"stevedore/internal/ingest"
	"stevedore/internal/orchestrator"
)

// temporalUI is the variable with the address of Temporal's Web UI.
const temporalUI = "STEVEDORE_TEMPORAL_UI_URL"

// fileResult is a file with its history as JSON.
type fileResult struct {
	openapi.File
	// Progress is null when no step runs.
	Progress *openapi.Progress `json:"progress"`
	Events   []openapi.Event   `json:"events"`
	// WorkflowURL is empty unless the address of Temporal's Web UI is configured.
	WorkflowURL string `json:"workflow_url"`
}

func (a *app) fileShowCommand() *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use: "show UUID", Short: "Show a file, its object and its history",
		Long: `Shows a file by its uuid or a prefix of it: its state, its object, the current
step with the attempt and the time and reason of the next one, and its history.

--watch prints events as they happen, until the file has ended or failed.`,
		Example: "  stevedore file show 0ab5fe59",
		Args:    exactly("file uuid"),
		RunE: a.calling(func(ctx context.Context, api *client.API, args []string) error {
			if watch && a.format == formatJSON {
				return errEndlessArray
			}
			file, err := api.File(ctx, args[0])
			switch {
			case ingest.IsKind(err, ingest.KindInvalid):
				return usageError{err}
			case err != nil:
				return err
			case watch:
				return a.watchFile(ctx, api, file)
			}
			events, err := api.Events(ctx, file.FileUUID)
			if err != nil {
				return err
			}
			result := fileResult{File: file, Events: events, WorkflowURL: a.workflowURL(file.WorkflowID)}
			if progress, running := api.Progress(ctx, []openapi.File{file})[file.FileUUID]; running {
				result.Progress = &progress
			}
			return a.show(result, func(t *table) { result.rows(t, a.now()) })
		}),
	}
	cmd.Flags().BoolVar(&watch, "watch", false, "print events until the file has ended or failed")
	return cmd
}

func (a *app) workflowURL(workflowID string) string {
	cfg, err := a.configuration()
	if err != nil {
		return ""
	}
	base, _ := cfg.LookupEnv(temporalUI)
	if base == "" {
		return ""
	}
	return strings.TrimSuffix(base, "/") + "/namespaces/" + url.PathEscape(orchestrator.Namespace(cfg)) + "/workflows/" + url.PathEscape(workflowID)
}

// rows adds the file and its history to a table.
func (f fileResult) rows(t *table, now time.Time) {
	optional := func(name, text string) {
		if text != "" {
			t.row(name, safe(text))
		}
	}
	t.row("uuid", f.FileUUID)
	t.row("server", safe(f.Server))
	t.row("path", safe(f.RemotePath))
	t.row("size", fmt.Sprintf("%s (%d bytes)", size(f.SizeBytes), f.SizeBytes))
	t.row("modified", clock(f.Mtime))
	t.row("status", string(f.Status))
	optional("waits for", value(f.WaitsFor))
	optional("source left", value(f.SourceLeft))
	for _, note := range f.Notes {
		t.row("note", safe(note))
	}
	if f.ErrorMessage != nil {
		t.row("error", fmt.Sprintf("%s (%s)", safe(*f.ErrorMessage), value(f.ErrorKind)))
	}
	optional("mode", value(f.Mode))
	optional("hash", strings.Join(nonEmpty(value(f.HashAlgo), value(f.FileHash)), " "))
	optional("object", strings.Join(nonEmpty(value(f.Bucket), value(f.ObjectKey)), "/"))
	optional("object checksum", value(f.ObjectChecksum))
	t.row("workflow", f.WorkflowID)
	optional("", f.WorkflowURL)
	if p := f.Progress; p != nil {
		t.row("step", p.Step+", "+attempt(*p, now))
		if p.TotalBytes != nil {
			t.row("progress", fmt.Sprintf("%s (%s of %s)", transferred(*p), size(value(p.DoneBytes)), size(*p.TotalBytes)))
		}
		optional("host", value(p.Host))
	}
	t.text("")
	t.columns("TIME", "AFTER", "EVENT", "DETAILS")
	before := time.Time{}
	for _, event := range f.Events {
		t.row(clock(event.Timestamp), since(before, event.Timestamp), event.EventType, details(event.Details))
		before = event.Timestamp
	}
}

// since returns the time since the event before.
func since(before, now time.Time) string {
	if before.IsZero() {
		return ""
	}
	return "+" + now.Sub(before).Round(time.Millisecond).String()
}

// details lists the details of an event in the order of their names.
func details(values map[string]any) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		parts = append(parts, name+"="+detail(values[name]))
	}
	return safe(strings.Join(parts, " "))
}

// detail returns a value that was decoded from JSON.
func detail(value any) string {
	switch typed := value.(type) {
	case string:
		return typed
	case float64:
		return strings.TrimSuffix(strings.TrimRight(strconv.FormatFloat(typed, 'f', 3, 64), "0"), ".")
	}
	encoded, _ := json.Marshal(value)
	return string(encoded)
}
