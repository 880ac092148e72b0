package main

import (
	"context"
	"fmt"
	"net/url"
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
		Args:    arguments(1, 1, "file uuid"),
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
			events, err := collect(api.ListFileEvents(ctx, file.FileUUID, openapi.ListFileEventsParams{}, 0))
			if err != nil {
				return err
			}
			if status := ingest.Status(file.Status); !status.Terminal() && status != ingest.StatusError {
				(&progress{app: a}).checkWorker(ctx, api)
			}
			result := fileResult{File: file, Events: events, WorkflowURL: a.workflowURL(file.WorkflowID)}
			if progress, running := api.Progress(ctx, []openapi.File{file})[file.FileUUID]; running {
				result.Progress = &progress
			}
			return a.show(result, func(t *table) { result.rows(t) })
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
func (f fileResult) rows(t *table) {
	t.wraps = true
	t.row("uuid", f.FileUUID)
	t.row("server", safe(ingest.ServerLabel(f.Server, f.ServerRemoved)))
	t.row("path", safe(f.RemotePath))
	t.row("size", fmt.Sprintf("%s (%d bytes)", size(f.SizeBytes), f.SizeBytes))
	t.row("modified", clock(f.Mtime))
	t.row("status", string(f.Status))
	t.prose("waits for", value(f.WaitsFor))
	t.prose("source left", value(f.SourceLeft))
	for _, note := range f.Notes {
		t.prose("note", note)
	}
	if f.ErrorMessage != nil {
		t.prose("error", fmt.Sprintf("%s (%s)", *f.ErrorMessage, value(f.ErrorKind)))
	}
	t.optional("mode", value(f.Mode))
	t.optional("hash", strings.Join(nonEmpty(value(f.HashAlgo), value(f.FileHash)), " "))
	t.optional("object", strings.Join(nonEmpty(value(f.Bucket), value(f.ObjectKey)), "/"))
	t.optional("object checksum", value(f.ObjectChecksum))
	t.row("workflow", f.WorkflowID)
	t.optional("", f.WorkflowURL)
	if p := f.Progress; p != nil {
		t.prose("step", strings.Join(append([]string{p.Step}, p.Notes...), ", "))
		if p.TotalBytes != nil {
			t.row("progress", fmt.Sprintf("%s (%s of %s)", transferred(*p), size(value(p.DoneBytes)), size(*p.TotalBytes)))
		}
		t.optional("host", value(p.Host))
	}
	t.text("")
	before := time.Time{}
	for _, event := range f.Events {
		t.cells(cell{"TIME", clock(event.Timestamp)}, cell{"AFTER", since(before, event.Timestamp)}, cell{"EVENT", event.EventType}, cell{"DETAILS", details(event.Details)})
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
	for _, detail := range ingest.DisplayDetails(values) {
		parts = append(parts, detail.Name+"="+detail.Text)
	}
	return strings.Join(parts, " ")
}

// reason describes the running step of a file, or why the file failed or waits, for one
// cell of a table. The cause precedes the attempts, because the end may be clipped. p is nil
// without a running step.
func (a *app) reason(f openapi.File, p *openapi.Progress) string {
	if f.SourceLeft != nil {
		return "source left: " + safe(*f.SourceLeft)
	}
	var waits string
	failure := value(f.ErrorMessage)
	switch {
	case p != nil:
		failure = value(p.Failure)
		waits = strings.Join(append(nonEmpty(p.Step, transferred(*p)), p.Notes[:len(p.Notes)-len(nonEmpty(failure))]...), ", ")
	case f.WaitsFor != nil:
		waits = "waits for " + *f.WaitsFor
	}
	return dash(strings.Join(nonEmpty(a.cause(f.Server, failure), waits), "; "))
}

// transferred returns the percentage, the rate and the remaining time of a step; empty
// while these are unknown.
func transferred(p openapi.Progress) string {
	if p.TotalBytes == nil {
		return ""
	}
	done, total := value(p.DoneBytes), *p.TotalBytes
	parts := []string{fmt.Sprintf("%d%%", min(done, total)*100/total)}
	if p.BytesPerSecond != nil {
		parts = append(parts, size(int64(*p.BytesPerSecond))+"/s")
	}
	if p.EtaSeconds != nil {
		parts = append(parts, (time.Duration(*p.EtaSeconds)*time.Second).String()+" left")
	}
	return strings.Join(parts, ", ")
}
