package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"stevedore/internal/admin"
	"stevedore/internal/config"
	"stevedore/internal/oracle"
)

func (a *app) auditCommand() *cobra.Command {
	var req admin.AuditRequest
	cmd := &cobra.Command{
		Use: "audit", Short: "Compare servers, ledger, objects and announcements",
		Long: `Compares what the servers show with the ledger, and the ledger with the object
store and with the announcements on record. It changes nothing and may run at
any time. One line per difference, with what each place has at its end:

  -  missing   what should be there is not
  +  extra     something is there that should not be
  !  wrong     it is there and differs, or waits for somebody

Files on their way are pending and no difference. Paused and suspended servers
are logged in to only when they are named. Objects that no file names are looked
for only when no server is named. By the API the service does the comparing, and
differences are shown when it is through. Exit code 9: there are differences;
with any other but 0 the audit did not come to its end.`,
		Example: "  stevedore audit\n  stevedore audit --server acme --deep",
		Args:    none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withParts("audit", config.ComponentAudit, func(ops operations) error {
				return a.audit(cmd.Context(), ops, req)
			})
		},
	}
	cmd.Flags().StringArrayVar(&req.Servers, "server", nil, "only the server with this `NAME` or uuid; may be repeated")
	a.completeServers(cmd, "server")
	cmd.Flags().BoolVar(&req.Deep, "deep", false, "read every object again instead of trusting its metadata")
	return cmd
}

// audit prints each difference as it is found: nothing is kept.
func (a *app) audit(ctx context.Context, ops operations, req admin.AuditRequest) error {
	report := auditReport{app: a}
	progress := newProgress(a)
	req.Progress = progress.audit
	summary, err := ops.Audit(ctx, req, func(d oracle.Difference) error {
		progress.end()
		return report.add(d)
	})
	progress.end()
	if err != nil && summary.Servers == 0 && report.count == 0 {
		return err // it did not begin
	}
	if printErr := report.end(summary, err); printErr != nil {
		return printErr
	}
	if err == nil && summary.Differences() > 0 {
		return differencesError{summary.Differences()}
	}
	return err
}

// differenceResult is a difference as JSON; what does not apply is empty.
type differenceResult struct {
	// Type tells the lines of jsonl apart.
	Type      string      `json:"type,omitempty"`
	Mark      oracle.Mark `json:"mark"`
	What      string      `json:"what"`
	Reason    string      `json:"reason"`
	Server    string      `json:"server"`
	Path      string      `json:"path"`
	FileUUID  string      `json:"file_uuid"`
	ObjectKey string      `json:"object_key"`
	Sides     sidesResult `json:"sides"`
}

// auditResult is the summary as JSON.
type auditResult struct {
	Type string `json:"type,omitempty"`
	// Complete is false when the audit ended early; Error says why.
	Complete bool   `json:"complete"`
	Error    string `json:"error"`
	Files    int64  `json:"files"`
	Bytes    int64  `json:"bytes"`
	Objects  int64  `json:"objects"`
	Sources  int64  `json:"sources"`
	Pending  int64  `json:"pending"`
	Servers  int    `json:"servers"`
	// Differences counts all, Missing, Extra and Wrong those of one mark.
	Differences int64            `json:"differences"`
	Missing     int64            `json:"missing"`
	Extra       int64            `json:"extra"`
	Wrong       int64            `json:"wrong"`
	Unlisted    []unlistedResult `json:"unlisted_servers"`
}

// unlistedResult is a server that was not listed.
type unlistedResult struct {
	Server     string `json:"server"`
	ServerUUID string `json:"server_uuid"`
	Reason     string `json:"reason"`
	// Difference is false for servers that are paused: it is meant so.
	Difference bool `json:"difference"`
}

func newAuditResult(s admin.AuditSummary, err error) auditResult {
	r := auditResult{
		Complete: err == nil, Files: s.Files, Bytes: s.Bytes, Objects: s.Objects, Sources: s.Sources, Pending: s.Pending, Servers: s.Servers,
		Differences: s.Differences(), Missing: s.Marks[oracle.Missing], Extra: s.Marks[oracle.Extra], Wrong: s.Marks[oracle.Wrong],
		Unlisted: []unlistedResult{},
	}
	if err != nil {
		r.Error = message(err)
	}
	for _, u := range s.Unlisted {
		r.Unlisted = append(r.Unlisted, unlistedResult{
			Server: u.Server.Name, ServerUUID: u.Server.UUID, Reason: oneLine(u.Reason), Difference: !u.Paused,
		})
	}
	return r
}

// auditReport writes differences one by one and the summary last. As json it
// is one object, whole even when the audit ended early.
type auditReport struct {
	app   *app
	count int
}

func (r *auditReport) add(d oracle.Difference) error {
	r.count++
	if r.app.format == formatTable {
		_, err := fmt.Fprintf(r.app.stdout, "%s  %s  %s%s\n", d.Mark, safe(d.What), safe(oneLine(d.Why)), sidesText(d.Sides))
		return err
	}
	result := differenceResult{
		Mark: d.Mark, What: d.What, Reason: oneLine(d.Why), Server: d.Server, Path: d.Path, FileUUID: d.FileUUID, ObjectKey: d.Key,
		Sides: newSidesResult(d.Sides),
	}
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

func (r *auditReport) end(s admin.AuditSummary, err error) error {
	result := newAuditResult(s, err)
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
	row("on servers", "%d entries, %d server(s)", r.Sources, r.Servers-len(r.Unlisted))
	row("pending", "%d", r.Pending)
	row("differences", "%d: %d missing (-), %d extra (+), %d wrong (!)", r.Differences, r.Missing, r.Extra, r.Wrong)
	if shown < r.Differences {
		row("shown", "%d of them: the service keeps no more", shown)
	}
	for _, u := range r.Unlisted {
		row("not listed", "%s: %s", safe(u.Server), safe(u.Reason))
	}
	if !r.Complete {
		row("NOT COMPLETE", "%s", safe(r.Error))
	}
}
