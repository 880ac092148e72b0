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

	"stevedore/api/oas"
	"stevedore/internal/admin"
	"stevedore/internal/ingest"
	"stevedore/internal/temporalclient"
)

// temporalUI names the variable with the address of Temporal's Web UI.
const temporalUI = "STEVEDORE_TEMPORAL_UI_URL"

// fileResult is a file with its history as JSON.
type fileResult struct {
	oas.File
	// Progress is null when no step is under way.
	Progress *oas.Progress `json:"progress"`
	Events   []oas.Event   `json:"events"`
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
			return a.with("file show", func(ops operations) error {
				file, err := ops.ShowFile(cmd.Context(), args[0])
				if ingest.KindOf(err) == ingest.KindInvalid {
					return usageError{err}
				}
				if err != nil {
					return err
				}
				if watch {
					return a.watchFile(cmd.Context(), ops, file)
				}
				events, err := ops.Events(cmd.Context(), file.UUID)
				if err != nil {
					return err
				}
				result := fileResult{File: oas.FromFile(file), Events: []oas.Event{}, WorkflowURL: a.workflowURL(file.UUID)}
				progress, underway := progressOf(cmd.Context(), ops, []ingest.File{file})[file.UUID]
				if underway {
					result.Progress = oas.FromProgress(progress)
				}
				for _, event := range events {
					result.Events = append(result.Events, oas.FromEvent(event))
				}
				return a.printOne(result, func(w io.Writer) {
					printFile(w, file, result.WorkflowURL)
					if underway {
						printProgress(w, progress, time.Now())
					}
					printEvents(w, events)
				})
			})
		},
	}
	cmd.Flags().BoolVar(&watch, "watch", false, "print what happens to it until it has ended its way")
	return cmd
}

func (a *app) workflowURL(fileUUID string) string {
	cfg, err := a.configuration()
	if err != nil {
		return ""
	}
	base, _ := cfg.LookupEnv(temporalUI)
	base = strings.TrimSuffix(base, "/")
	if base == "" {
		return ""
	}
	return base + "/namespaces/" + url.PathEscape(temporalclient.Namespace(cfg)) + "/workflows/" + url.PathEscape(ingest.IngestWorkflowID(fileUUID))
}

func printFile(w io.Writer, f ingest.File, workflowURL string) {
	row := func(name, value string) { fmt.Fprintf(w, "%s\t%s\n", name, value) }
	row("uuid", f.UUID)
	row("server", safe(f.ServerName))
	row("path", safe(f.RemotePath))
	row("size", fmt.Sprintf("%s (%d bytes)", size(f.Size), f.Size))
	row("modified", clock(f.ModTime))
	row("status", string(f.Status))
	if f.WaitsFor != "" && f.Status == ingest.StatusDiscovered {
		row("waits for", safe(f.WaitsFor))
	}
	if f.SourceLeft != "" {
		row("source left", safe(f.SourceLeft))
	}
	for _, note := range f.SightNotes(time.Now()) {
		row("note", safe(note))
	}
	if f.ErrorMessage != "" {
		row("error", fmt.Sprintf("%s (%s)", safe(f.ErrorMessage), f.ErrorKind))
	}
	if f.Mode != "" {
		row("mode", string(f.Mode))
	}
	if f.Hash != "" {
		row("hash", f.HashAlgo+" "+f.Hash)
	}
	if f.ObjectKey != "" {
		row("object", safe(f.Bucket+"/"+f.ObjectKey))
	}
	if f.Checksum != "" {
		row("object checksum (parts)", safe(f.Checksum))
	}
	row("workflow", ingest.IngestWorkflowID(f.UUID))
	if workflowURL != "" {
		row("", workflowURL)
	}
}

// printProgress says what happens now, or when and why it will.
func printProgress(w io.Writer, p admin.Progress, now time.Time) {
	fmt.Fprintf(w, "step\t%s, %s\n", p.Step, tries(p, now))
	if p.Total > 0 {
		fmt.Fprintf(w, "progress\t%s (%s of %s)\n", moved(p), size(p.Done), size(p.Total))
	}
	if p.Host != "" {
		fmt.Fprintf(w, "host\t%s\n", safe(p.Host))
	}
}

func printEvents(w io.Writer, events []ingest.StoredEvent) {
	fmt.Fprintln(w)
	fmt.Fprintln(w, "TIME\tAFTER\tEVENT\tDETAILS")
	before := time.Time{}
	for _, event := range events {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", clock(event.Timestamp), after(before, event.Timestamp), event.Type, details(event.Details))
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
