package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"stevedore/api/client"
	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

func (a *app) auditCommand() *cobra.Command {
	var servers []string
	var deep bool
	cmd := &cobra.Command{
		Use: "audit", Short: "Compare servers, ledger, objects and announcements",
		Long: `Compares what the servers show with the ledger, and the ledger with the object
store and with the recorded notifications. A worker does the comparing. It
changes nothing and may run at any time. One line per difference, with the state
of each place at its end:

  -  missing   what should be there is not
  +  extra     something is there that should not be
  !  wrong     it is there and differs, or waits for somebody

Files on their way are pending and no difference. Paused and suspended servers
are logged in to only when they are named. Objects without a file are looked for
only when no server is named. Exit code 9: there are differences; with any other
but 0 the audit did not reach its end.`,
		Example: "  stevedore audit\n  stevedore audit --server acme --deep",
		Args:    none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			request := openapi.AuditRequest{Deep: &deep}
			if len(servers) > 0 {
				request.Servers = &servers
			}
			return a.withAPI("audit", func(api *client.API) error { return a.audit(cmd.Context(), api, request) })
		},
	}
	cmd.Flags().StringArrayVar(&servers, "server", nil, "only the server with this `NAME` or uuid; may be repeated")
	a.completeServers(cmd, "server")
	cmd.Flags().BoolVar(&deep, "deep", false, "read every object again instead of trusting its metadata")
	return cmd
}

// audit starts an audit, waits for its end and prints the differences.
func (a *app) audit(ctx context.Context, api *client.API, request openapi.AuditRequest) error {
	run, err := api.StartAudit(ctx, request)
	if err != nil {
		return err
	}
	servers, err := auditServers(ctx, api, run)
	if err != nil {
		return err
	}
	progress := newProgress(a)
	run, err = api.WaitAudit(ctx, run, progress.audit)
	progress.end()
	report := auditReport{app: a}
	if readErr := api.EachDifference(ctx, run.AuditUUID, report.add); readErr != nil {
		err = errors.Join(err, readErr)
	}
	if printErr := report.end(auditResult{AuditRun: run, Unlisted: servers, Complete: err == nil}, err); printErr != nil {
		return printErr
	}
	if err == nil && run.Differences > 0 {
		return differencesError{run.Differences}
	}
	return err
}

// differenceResult is a difference as JSON.
type differenceResult struct {
	// Type distinguishes the lines of jsonl.
	Type string `json:"type,omitempty"`
	openapi.AuditDifference
}

// auditResult is the summary as JSON.
type auditResult struct {
	Type string `json:"type,omitempty"`
	openapi.AuditRun
	// Complete reports whether the audit reached its end and all differences were read.
	Complete bool             `json:"complete"`
	Unlisted []unlistedResult `json:"unlisted_servers"`
}

// unlistedResult is a server that an audit of all servers does not log in to.
type unlistedResult struct {
	Server     string `json:"server"`
	ServerUUID string `json:"server_uuid"`
	Reason     string `json:"reason"`
}

// auditServers returns the paused and suspended servers, which an audit of all servers
// does not log in to.
func auditServers(ctx context.Context, api *client.API, run openapi.AuditRun) ([]unlistedResult, error) {
	unlisted := []unlistedResult{}
	if len(run.ServerUuids) > 0 {
		return unlisted, nil
	}
	servers, err := api.ListServers(ctx)
	for _, s := range servers {
		switch {
		case !s.IsActive:
			unlisted = append(unlisted, unlistedResult{s.Name, s.ServerUUID, "it is paused"})
		case s.State == string(ingest.ServerSuspended):
			unlisted = append(unlisted, unlistedResult{s.Name, s.ServerUUID, "it is suspended: run `stevedore server test " + s.Name + "`"})
		}
	}
	return unlisted, err
}

// auditReport writes differences one by one and the summary last. As json it
// is one object, whole even when the audit ended early.
type auditReport struct {
	app   *app
	count int
}

func (r *auditReport) add(d openapi.AuditDifference) error {
	r.count++
	if r.app.format == formatTable {
		_, err := fmt.Fprintf(r.app.stdout, "%s  %s  %s%s\n", d.Mark, safe(d.What), oneLine(d.Why), sidesText(d.Sides))
		return err
	}
	result := differenceResult{AuditDifference: d}
	if r.app.format == formatJSONL {
		result.Type = "difference"
		return r.app.encode(result)
	}
	before := ",\n    "
	if r.count == 1 {
		before = "{\n  \"differences\": [\n    "
	}
	return r.write(before, result)
}

func (r *auditReport) end(result auditResult, err error) error {
	if err != nil && result.Error == nil {
		result.Error = given(message(err))
	}
	switch r.app.format {
	case formatTable:
		return r.app.printOne(nil, func(w io.Writer) { printAudit(w, result, int64(r.count)) })
	case formatJSONL:
		result.Type = "summary"
		return r.app.encode(result)
	}
	before := "\n  ],\n  \"summary\": "
	if r.count == 0 {
		before = "{\n  \"differences\": [],\n  \"summary\": "
	}
	if err := r.write(before, result); err != nil {
		return err
	}
	_, err = io.WriteString(r.app.stdout, "\n}\n")
	return err
}

// write writes a value on one line after some text.
func (r *auditReport) write(before string, value any) error {
	var line strings.Builder
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return err
	}
	_, err := io.WriteString(r.app.stdout, before+strings.TrimSuffix(line.String(), "\n"))
	return err
}

// printAudit prints the summary; shown is how many differences are above it.
func printAudit(w io.Writer, r auditResult, shown int64) {
	row := func(name, format string, args ...any) { fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	if r.Differences > 0 {
		fmt.Fprintln(w)
	}
	row("files checked", "%d, %s (%d bytes) in the object store", r.Files, size(r.Bytes), r.Bytes)
	row("on servers", "%d entries", r.Sources)
	row("pending", "%d", r.Pending)
	row("differences", "%d: %d missing (-), %d extra (+), %d wrong (!)", r.Differences, r.Missing, r.Extra, r.Wrong)
	if shown < r.Differences {
		row("shown", "%d of them: the service keeps no more", shown)
	}
	for _, u := range r.Unlisted {
		row("not listed", "%s: %s", safe(u.Server), safe(u.Reason))
	}
	if !r.Complete {
		row("NOT COMPLETE", "%s", safe(value(r.Error)))
	}
}
