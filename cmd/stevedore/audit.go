package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stevedore/api/client"
	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

func (a *app) auditCommand() *cobra.Command {
	var servers []string
	var deep bool
	progress := &progress{app: a}
	cmd := &cobra.Command{
		Use: "audit", Short: "Compare servers, ledger, objects and notifications",
		Long: `Compares the listings of servers with the ledger, and the ledger with the object
store and the recorded notifications. A worker runs the audit. It changes nothing
and may run at any time. Prints one line for each discrepancy, with the state of
each place at its end:

  -  missing      it should exist and does not
  +  extra        it exists and should not
  !  wrong        it exists and differs, or needs attention
  ?  not audited  it could not be read

Files in flight are pending and no discrepancy. Paused and suspended servers are
listed only when named. Objects without a file are looked for only when no server
is named.

Exit code 9 means discrepancies. With all other codes but 0 the audit is
incomplete.`,
		Example: "  stevedore audit\n  stevedore audit --server acme --deep",
		Args:    noSuchCommand,
		RunE: a.calling(func(ctx context.Context, api *client.API, _ []string) error {
			run, err := api.StartAudit(ctx, openapi.AuditRequest{Deep: &deep, Servers: givenList(servers)})
			if err != nil {
				return err
			}
			unlisted, err := unlistedServers(ctx, api, run)
			if err != nil {
				return err
			}
			progress.audit(ctx, run)
			ended, err := await(ctx, api, progress, run.AuditUUID, api.WaitAudit, progress.audit)
			if ended.AuditUUID != "" {
				run = ended
			}
			if ctx.Err() != nil || errors.Is(err, errExpired) {
				a.note("stopped waiting; the audit continues: see `stevedore audit show %s`", run.AuditUUID)
			}
			return a.reportAudit(ctx, api, run, unlisted, err)
		}),
	}
	a.addServers(cmd, &servers)
	cmd.Flags().BoolVar(&deep, "deep", false, "read each object again instead of trusting its metadata")
	addTimeout(cmd, &progress.timeout)
	cmd.AddCommand(a.auditListCommand(), a.completeArgs(a.auditShowCommand(), auditUUIDs))
	return cmd
}

func (a *app) auditListCommand() *cobra.Command {
	var limit int
	var between timeRange
	cmd := &cobra.Command{
		Use: "list", Short: "List audits, the latest first", Args: none,
		Example: "  stevedore audit list --limit 5",
		RunE: a.calling(func(ctx context.Context, api *client.API, _ []string) error {
			audits := latestOf(between, a.now(), limit, func(limit int) iter.Seq2[openapi.AuditRun, error] {
				return api.ListAudits(ctx, openapi.ListAuditsParams{}, limit)
			}, func(r openapi.AuditRun) time.Time { return r.StartedAt })
			return printAll(a, audits,
				"no audits match: start one with `stevedore audit`", func(r openapi.AuditRun) []cell {
					return []cell{
						{"UUID", r.AuditUUID}, {"STARTED", a.when(r.StartedAt)}, {"STATE", string(r.State)}, {"FILES", fmt.Sprint(r.Files)},
						{"DISCREPANCIES", fmt.Sprint(r.Differences)}, {"BY", dash(r.Actor)},
					}
				})
		}),
	}
	between.register(cmd, "audits started")
	addLimit(cmd, &limit, "audits", 20)
	return cmd
}

func (a *app) auditShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show UUID|latest", Short: "Show the discrepancies that an audit found",
		Long: `Shows an audit by its uuid, a prefix of it, or "latest": its discrepancies and its
summary. The exit codes are those of "stevedore audit".`,
		Example: "  stevedore audit show latest", Args: arguments(1, 1, "audit uuid or latest"),
		RunE: a.calling(func(ctx context.Context, api *client.API, args []string) error {
			for run, err := range api.ListAudits(ctx, openapi.ListAuditsParams{}, 0) {
				switch {
				case err != nil:
					return err
				case args[0] != latest && !strings.HasPrefix(run.AuditUUID, args[0]):
					continue
				case run.State == openapi.AuditRunning:
					err = ingest.Errorf(ingest.KindTransient, "audit %s is running", run.AuditUUID)
				case run.State == openapi.AuditFailed:
					err = ingest.Errorf(ingest.KindTransient, "audit %s failed: %s", run.AuditUUID, value(run.Error))
				}
				return a.reportAudit(ctx, api, run, nil, err)
			}
			if args[0] == latest {
				return ingest.Wrap(ingest.KindMissing, ingest.ErrNotFound, "no audits yet: start one with `stevedore audit`")
			}
			return ingest.Wrap(ingest.KindMissing, ingest.ErrNotFound, "no audit has the uuid %q: `stevedore audit list` lists all audits", safe(args[0]))
		}),
	}
}

// discrepancyResult is a discrepancy as JSON.
type discrepancyResult struct {
	// Type distinguishes the lines of jsonl.
	Type string `json:"type,omitempty"`
	openapi.AuditDifference
}

// auditResult is the summary as JSON.
type auditResult struct {
	Type string `json:"type,omitempty"`
	openapi.AuditRun
	// Complete reports whether the audit has ended and all discrepancies were read.
	Complete bool             `json:"complete"`
	Unlisted []unlistedResult `json:"unlisted_servers"`
}

// unlistedResult is a server that an audit of all servers does not list.
type unlistedResult struct {
	Server     string `json:"server"`
	ServerUUID string `json:"server_uuid"`
	Reason     string `json:"reason"`
}

// unlistedServers returns the paused and suspended servers, which an audit of all
// servers does not list.
func unlistedServers(ctx context.Context, api *client.API, run openapi.AuditRun) ([]unlistedResult, error) {
	unlisted := []unlistedResult{}
	if len(run.ServerUuids) > 0 {
		return unlisted, nil
	}
	list, err := api.ListServers(ctx)
	for _, s := range list.Servers {
		switch {
		case !s.IsActive:
			unlisted = append(unlisted, unlistedResult{s.Name, s.ServerUUID, "it is paused"})
		case s.State == string(ingest.ServerSuspended):
			unlisted = append(unlisted, unlistedResult{s.Name, s.ServerUUID, "it is suspended: run `stevedore server test " + s.Name + "`"})
		}
	}
	return unlisted, err
}

// reportAudit prints the discrepancies and the summary, and returns err, or an error for
// the discrepancies. It prints as much as can be read, also after an error.
func (a *app) reportAudit(ctx context.Context, api *client.API, run openapi.AuditRun, unlisted []unlistedResult, err error) error {
	// The service stores a limited number.
	found, readErr := collect(api.ListAuditDifferences(context.WithoutCancel(ctx), run.AuditUUID, openapi.ListAuditDifferencesParams{}, 0))
	err = errors.Join(err, readErr)
	discrepancies := []discrepancyResult{}
	for _, d := range found {
		discrepancies = append(discrepancies, discrepancyResult{AuditDifference: d})
	}
	summary := auditResult{AuditRun: run, Complete: err == nil, Unlisted: append([]unlistedResult{}, unlisted...)}
	if err != nil && summary.Error == nil {
		summary.Error = given(message(err))
	}
	if printErr := a.showAudit(discrepancies, summary); printErr != nil {
		return printErr
	}
	if err == nil && run.Differences > 0 {
		return discrepanciesError{run.Differences}
	}
	return err
}

func (a *app) showAudit(discrepancies []discrepancyResult, summary auditResult) error {
	if a.format != formatJSONL {
		result := map[string]any{"differences": discrepancies, "summary": summary}
		return a.show(result, func(t *table) { rowsOfAudit(t, discrepancies, summary) })
	}
	for _, d := range discrepancies {
		d.Type = "difference"
		if err := a.encode(d); err != nil {
			return err
		}
	}
	summary.Type = "summary"
	return a.encode(summary)
}

func rowsOfAudit(t *table, discrepancies []discrepancyResult, r auditResult) {
	for _, d := range discrepancies {
		t.text("%s  %s  %s%s", d.Mark, safe(d.What), oneLine(d.Why), sidesText(d.Sides))
	}
	if r.Differences > 0 {
		t.text("")
	}
	t.begin()
	t.row("files checked", fmt.Sprintf("%d, %s (%d bytes) in the object store", r.Files, size(r.Bytes), r.Bytes))
	t.row("on servers", fmt.Sprintf("%d entries", r.Sources))
	t.row("pending", fmt.Sprint(r.Pending))
	t.row("discrepancies", fmt.Sprintf("%d: %d missing (-), %d extra (+), %d wrong (!), %d not audited (?)", r.Differences, r.Missing, r.Extra, r.Wrong, r.NotAudited))
	if shown := int64(len(discrepancies)); shown < r.Differences {
		t.row("shown", fmt.Sprintf("%d of them: the service stores no more", shown))
	}
	for _, u := range r.Unlisted {
		t.row("not listed", safe(u.Server)+": "+safe(u.Reason))
	}
	if !r.Complete {
		t.prose("NOT COMPLETE", value(r.Error))
	}
}

// sidesText returns the compared places, each with its sign; empty for none.
func sidesText(s openapi.AuditSides) string {
	var compared []string
	for _, side := range []struct {
		name  string
		state openapi.AuditSideState
	}{{"source", s.Source.State}, {"ledger", s.Ledger.State}, {"object", s.Object.State}, {"notification", s.Announcement.State}} {
		if side.state != openapi.SideUnknown {
			compared = append(compared, side.name+" "+ingest.SideState(side.state).Sign())
		}
	}
	if len(compared) == 0 {
		return ""
	}
	return "  [" + strings.Join(compared, ", ") + "]"
}
