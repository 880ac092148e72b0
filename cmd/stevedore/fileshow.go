package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stevedore/api/client"
	"stevedore/api/openapi"
	"stevedore/internal/ingest"
	"stevedore/internal/orchestrator"
)

// temporalUI names the variable with the address of Temporal's Web UI.
const temporalUI = "STEVEDORE_TEMPORAL_UI_URL"

// fileResult is a file with its history as JSON.
type fileResult struct {
	openapi.File
	// Progress is null when no step is under way.
	Progress *openapi.Progress `json:"progress"`
	Events   []openapi.Event   `json:"events"`
	// WorkflowURL is empty unless the address of Temporal's Web UI is known.
	WorkflowURL string `json:"workflow_url"`
}

func (a *app) fileShowCommand() *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use: "show UUID", Short: "Show a file, its object and what happened to it",
		Long: `Shows a file by its uuid, or the beginning of it: where it is, which attempt
of which step runs or when and why the next one comes, and what happened.

With --watch it prints what happens to the file, as it happens, until the file
has ended its way or waits for an operator.`,
		Example: "  stevedore file show 0ab5fe59",
		Args:    exactly("file uuid"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if watch && a.format == formatJSON {
				return usageError{errNoEnd}
			}
			return a.withAPI("file show", func(api *client.API) error {
				file, err := api.File(cmd.Context(), args[0])
				if ingest.KindOf(err) == ingest.KindInvalid {
					return usageError{err}
				}
				if err != nil {
					return err
				}
				if watch {
					return a.watchFile(cmd.Context(), api, file)
				}
				events, err := api.Events(cmd.Context(), file.FileUUID)
				if err != nil {
					return err
				}
				result := fileResult{File: file, Events: events, WorkflowURL: a.workflowURL(file.WorkflowID)}
				if progress, running := api.Progress(cmd.Context(), []openapi.File{file})[file.FileUUID]; running {
					result.Progress = &progress
				}
				return a.printOne(result, func(w io.Writer) {
					printFile(w, file, result.WorkflowURL)
					if result.Progress != nil {
						printProgress(w, *result.Progress, time.Now())
					}
					printEvents(w, events)
				})
			})
		},
	}
	cmd.Flags().BoolVar(&watch, "watch", false, "print what happens to it until it has ended its way")
	return cmd
}

func (a *app) workflowURL(workflowID string) string {
	cfg, err := a.configuration()
	if err != nil {
		return ""
	}
	base, _ := cfg.LookupEnv(temporalUI)
	base = strings.TrimSuffix(base, "/")
	if base == "" {
		return ""
	}
	return base + "/namespaces/" + url.PathEscape(orchestrator.Namespace(cfg)) + "/workflows/" + url.PathEscape(workflowID)
}

func printFile(w io.Writer, f openapi.File, workflowURL string) {
	row := func(name, value string) { fmt.Fprintf(w, "%s\t%s\n", name, value) }
	optional := func(name string, text *string) {
		if text != nil {
			row(name, safe(*text))
		}
	}
	row("uuid", f.FileUUID)
	row("server", safe(f.Server))
	row("path", safe(f.RemotePath))
	row("size", fmt.Sprintf("%s (%d bytes)", size(f.SizeBytes), f.SizeBytes))
	row("modified", clock(f.Mtime))
	row("status", string(f.Status))
	optional("waits for", f.WaitsFor)
	optional("source left", f.SourceLeft)
	for _, note := range f.Notes {
		row("note", safe(note))
	}
	if f.ErrorMessage != nil {
		row("error", fmt.Sprintf("%s (%s)", safe(*f.ErrorMessage), value(f.ErrorKind)))
	}
	optional("mode", f.Mode)
	if f.FileHash != nil {
		row("hash", value(f.HashAlgo)+" "+*f.FileHash)
	}
	if f.ObjectKey != nil {
		row("object", safe(value(f.Bucket)+"/"+*f.ObjectKey))
	}
	optional("object checksum (parts)", f.ObjectChecksum)
	row("workflow", f.WorkflowID)
	if workflowURL != "" {
		row("", workflowURL)
	}
}

// printProgress says what happens now, or when and why it will.
func printProgress(w io.Writer, p openapi.Progress, now time.Time) {
	fmt.Fprintf(w, "step\t%s, %s\n", p.Step, tries(p, now))
	if p.TotalBytes != nil {
		fmt.Fprintf(w, "progress\t%s (%s of %s)\n", moved(p), size(value(p.DoneBytes)), size(*p.TotalBytes))
	}
	if p.Host != nil {
		fmt.Fprintf(w, "host\t%s\n", safe(*p.Host))
	}
}

func printEvents(w io.Writer, events []openapi.Event) {
	fmt.Fprintln(w)
	fmt.Fprintln(w, "TIME\tAFTER\tEVENT\tDETAILS")
	before := time.Time{}
	for _, event := range events {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", clock(event.Timestamp), after(before, event.Timestamp), event.EventType, details(event.Details))
		before = event.Timestamp
	}
}

// after is the time since the event before.
func after(before, now time.Time) string {
	if before.IsZero() {
		return ""
	}
	return "+" + now.Sub(before).Round(time.Millisecond).String()
}

// details lists an event's details in order of their names.
func details(values map[string]any) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		text, ok := values[name].(string)
		if !ok {
			encoded, err := json.Marshal(values[name])
			if err != nil {
				continue
			}
			text = string(encoded)
		}
		parts = append(parts, name+"="+text)
	}
	return safe(strings.Join(parts, " "))
}
