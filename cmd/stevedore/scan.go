package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"stevedore/api/client"
	"stevedore/api/oas"
	"stevedore/internal/ingest"
)

// scanResult is an awaited scan as JSON.
type scanResult struct {
	oas.Scan
	// Suspended are the names of servers that were not scanned.
	Suspended []string `json:"suspended"`
}

func (a *app) scanCommand() *cobra.Command {
	var servers []string
	var wait bool
	cmd := &cobra.Command{
		Use: "scan", Short: "Scan servers now",
		Long: `Scans all active servers, or the named ones, before they are due. Suspended
servers are scanned only when named. With --wait it ends when all files found
have ended or failed. It exits with 5 when a server could not be listed but may
be later, and with 6 when a server or a file needs attention.`,
		Example: "  stevedore scan --server acme --wait",
		Args:    none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withAPI("scan", func(api *client.API) error { return a.scan(cmd.Context(), api, servers, wait) })
		},
	}
	cmd.Flags().StringArrayVar(&servers, "server", nil, "only the server with this `NAME` or uuid; may be repeated")
	a.completeServers(cmd, "server")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until all files found have ended or failed")
	return cmd
}

func (a *app) scan(ctx context.Context, api *client.API, servers []string, wait bool) error {
	accepted, err := api.StartScan(ctx, servers)
	if err != nil {
		return err
	}
	if accepted.Servers == 0 {
		a.note("there are no active servers: add one with `stevedore server add`")
	}
	// Without a worker nothing happens, and waiting would look like a hang.
	if err := api.CheckPart(ctx, "worker"); err != nil && ctx.Err() == nil {
		a.note("%s", message(err))
	}
	for _, name := range accepted.Suspended {
		a.note("server %s is suspended and is not scanned: run `stevedore server test %s`", name, name)
	}
	if wait {
		return a.waitScan(ctx, api, accepted)
	}
	return a.printOne(accepted, func(w io.Writer) {
		fmt.Fprintf(w, "scan %s started; follow it with `stevedore file list`\n", accepted.ScanUUID)
	})
}

func (a *app) waitScan(ctx context.Context, api *client.API, accepted oas.ScanAccepted) error {
	progress := newProgress(a)
	scan, err := api.WaitScan(ctx, accepted.ScanUUID, progress.scan)
	progress.end()
	if err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("stopped waiting; scan %s continues", accepted.ScanUUID)
		}
		return err
	}
	if err := a.printOne(scanResult{scan, accepted.Suspended}, func(w io.Writer) { printScan(w, scan) }); err != nil {
		return err
	}
	attention, err := a.attention(ctx, api, scan)
	if err != nil {
		return err
	}
	failed := scanError(scan, accepted.Suspended)
	switch {
	case failed != nil && attention != "":
		a.note("%s", attention)
		return failed
	case attention != "":
		return ingest.Errorf(ingest.KindConflict, "%s", attention)
	}
	return failed
}

// attention describes what needs attention on the scanned servers; empty is nothing.
// Folders that could not be read are printed, too.
func (a *app) attention(ctx context.Context, api *client.API, scan oas.Scan) (string, error) {
	var found []string
	if failed := countFailed(scan); failed > 0 {
		found = append(found, fmt.Sprintf("%d file(s) need attention: `stevedore file list --status error`", failed))
	}
	servers, err := api.ListServers(ctx)
	if err != nil {
		return "", err
	}
	for _, scanned := range scan.Servers {
		for _, server := range servers {
			if server.ServerUUID != scanned.ServerUUID {
				continue
			}
			if server.HeldChanges > 0 {
				found = append(found, fmt.Sprintf("%d file(s) are held: `stevedore server changes %s`", server.HeldChanges, server.Name))
			}
			if server.UnreadableFolders > 0 {
				a.note("%d folder(s) of %s could not be read: `stevedore server show %s`", server.UnreadableFolders, server.Name, server.Name)
			}
		}
	}
	return strings.Join(found, "; "), nil
}

// scanError returns nil when every server was scanned. Its kind is permanent when one of
// the failures is, and so is the suspension of a server.
func scanError(scan oas.Scan, suspended []string) error {
	kind := ingest.KindTransient
	var failed []oas.ScanServer
	for _, server := range scan.Servers {
		if server.State != oas.ScanFailed {
			continue
		}
		failed = append(failed, server)
		if k := ingest.Kind(value(server.ErrorKind)); k.Permanent() {
			kind = k
		}
	}
	for _, name := range suspended {
		kind = ingest.KindSuspended
		reason := "it is suspended: run `stevedore server test " + name + "`"
		failed = append(failed, oas.ScanServer{Server: name, Error: &reason})
	}
	switch count := len(failed) + scan.Failed; {
	case len(failed) == 1 && count == 1:
		name := failed[0].Server
		reason, _ := strings.CutPrefix(value(failed[0].Error), "server "+name)
		return ingest.Errorf(kind, "server %s was not scanned: %s", name, strings.TrimLeft(reason, ": "))
	case count > 0:
		return ingest.Errorf(kind, "%d servers were not scanned: `stevedore server list` shows the errors", count)
	}
	return nil
}

func printScan(w io.Writer, scan oas.Scan) {
	if len(scan.Servers) == 0 {
		return
	}
	fmt.Fprintln(w, "SERVER\tRESULT\tFILES")
	for _, server := range scan.Servers {
		result := "ok"
		if server.State == oas.ScanFailed {
			result = "FAILED: " + safe(value(server.Error))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", safe(server.Server), result, counts(server.Files))
	}
}

// counts lists the numbers of files by status in the order of the statuses.
func counts(files map[string]int64) string {
	var parts []string
	for _, status := range ingest.Statuses {
		if n := files[string(status)]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, status))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

func countFailed(scan oas.Scan) (failed int64) {
	for _, server := range scan.Servers {
		failed += server.Files[string(ingest.StatusError)]
	}
	return failed
}
