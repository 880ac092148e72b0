package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"stevedore/internal/admin"
	"stevedore/internal/ingest"
)

// scanResult is a scan as JSON; what is known only after waiting is left out.
type scanResult struct {
	ScanUUID   string   `json:"scan_uuid"`
	WorkflowID string   `json:"workflow_id"`
	RunID      string   `json:"run_id"`
	Suspended  []string `json:"suspended"`
	*scanEnd
}

type scanEnd struct {
	Started        int            `json:"started"`
	AlreadyRunning int            `json:"already_running"`
	Failed         int            `json:"failed"`
	Servers        []serverResult `json:"servers"`
}

type serverResult struct {
	Server     string                  `json:"server"`
	ServerUUID string                  `json:"server_uuid"`
	OK         bool                    `json:"ok"`
	ErrorKind  ingest.Kind             `json:"error_kind"`
	Error      string                  `json:"error"`
	Files      map[ingest.Status]int64 `json:"files"`
}

func (a *app) scanCommand() *cobra.Command {
	var servers []string
	var wait bool
	cmd := &cobra.Command{
		Use: "scan", Short: "Scan servers now",
		Long: `Scans all active servers, or those named, whether they are due or not.
Suspended servers are scanned only when named. With --wait it ends when the
files found have ended their way or wait for an operator or the partner; it
exits with 5 when a server could not be listed but may be later, or files wait
for a done-marker or else that only the partner can send, and with 6 when
somebody must mend something first, or files wait for an operator.`,
		Example: "  stevedore scan --server acme --wait",
		Args:    none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with("scan", func(ops operations) error {
				return a.scan(cmd.Context(), ops, servers, wait)
			})
		},
	}
	cmd.Flags().StringArrayVar(&servers, "server", nil, "only the server with this `NAME` or uuid; may be repeated")
	a.completeServers(cmd, "server")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until the files found have ended their way")
	return cmd
}

func (a *app) scan(ctx context.Context, ops operations, servers []string, wait bool) error {
	run, err := ops.Scan(ctx, servers)
	if err != nil {
		return err
	}
	if run.Servers == 0 {
		a.note("there are no active servers: add one with `stevedore server add`")
	}
	// Nothing moves without a worker, and waiting would look like a hang.
	if err := ops.PartReady(ctx, admin.PartWorker); err != nil && ctx.Err() == nil {
		a.note("%s", message(err))
	}
	result := scanResult{ScanUUID: run.UUID, WorkflowID: run.WorkflowID, RunID: run.RunID, Suspended: []string{}}
	for _, server := range run.Suspended {
		result.Suspended = append(result.Suspended, server.Name)
	}
	if wait {
		return a.waitScan(ctx, ops, run, result)
	}
	for _, name := range result.Suspended {
		a.note("server %s is suspended and is left out: run `stevedore server test %s`", name, name)
	}
	return a.printOne(result, func(w io.Writer) {
		fmt.Fprintf(w, "scan %s started; follow it with `stevedore file list`\n", run.UUID)
	})
}

func (a *app) waitScan(ctx context.Context, ops operations, run admin.ScanRun, result scanResult) error {
	progress := newProgress(a)
	outcome, err := ops.WaitScan(ctx, run, progress.scan)
	progress.end()
	if err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("stopped waiting; scan %s goes on", run.UUID)
		}
		return err
	}
	result.scanEnd = newScanEnd(outcome)
	if err := a.printOne(result, func(w io.Writer) { printOutcome(w, outcome) }); err != nil {
		return err
	}
	waiting := a.waiting(ctx, ops, outcome)
	if err := outcome.Err(); err != nil {
		if waiting != nil {
			a.note("%s", message(waiting))
		}
		return err
	}
	return waiting
}

// waiting says what of the scanned servers waits for a person, which is the scan's
// error then.
func (a *app) waiting(ctx context.Context, ops operations, outcome admin.ScanOutcome) error {
	var waits []string
	if parked := countParked(outcome); parked > 0 {
		waits = append(waits, fmt.Sprintf("%d file(s) wait for an operator: `stevedore file list --status error`", parked))
	}
	servers, err := ops.ListServers(ctx)
	if err != nil {
		return err
	}
	var partner []string
	for _, scanned := range outcome.Servers {
		if scanned.Waits != "" {
			partner = append(partner, scanned.Server.Name+": "+scanned.Waits)
		}
		for _, server := range servers {
			if server.UUID == scanned.Server.UUID && server.Attention.Held.Files > 0 {
				waits = append(waits, fmt.Sprintf("%d file(s) are held: `stevedore server changes %s`", server.Attention.Held.Files, server.Name))
			}
		}
	}
	all := strings.Join(append(waits, partner...), "; ")
	switch {
	case len(waits) > 0:
		return ingest.Errorf(ingest.KindConflict, "%s", all)
	case len(partner) > 0:
		return ingest.Errorf(ingest.KindTransient, "%s", all)
	default:
		return nil
	}
}

func newScanEnd(outcome admin.ScanOutcome) *scanEnd {
	end := &scanEnd{
		Started: outcome.Summary.Started, AlreadyRunning: outcome.Summary.AlreadyRunning, Failed: outcome.Summary.Failed,
		Servers: []serverResult{},
	}
	for _, server := range outcome.Servers {
		result := serverResult{Server: server.Server.Name, ServerUUID: server.Server.UUID, OK: server.Failure == nil, Files: server.Files}
		if result.Files == nil {
			result.Files = map[ingest.Status]int64{}
		}
		if server.Failure != nil {
			result.ErrorKind, result.Error = server.Failure.Kind, server.Failure.Message
		}
		end.Servers = append(end.Servers, result)
	}
	return end
}

func printOutcome(w io.Writer, outcome admin.ScanOutcome) {
	if len(outcome.Servers) == 0 {
		return
	}
	fmt.Fprintln(w, "SERVER\tRESULT\tFILES")
	for _, server := range outcome.Servers {
		result := "ok"
		if server.Failure != nil {
			result = "FAILED: " + safe(server.Failure.Message)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", safe(server.Server.Name), result, counts(server.Files))
	}
}

// counts lists statuses in the order of a file's way.
func counts(files map[ingest.Status]int64) string {
	var parts []string
	for _, status := range ingest.Statuses {
		if n := files[status]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, status))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

func countParked(outcome admin.ScanOutcome) (parked int64) {
	for _, server := range outcome.Servers {
		parked += server.Files[ingest.StatusError]
	}
	return parked
}
