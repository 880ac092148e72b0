package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"stevedore/api/client"
	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

// scanResult is an awaited scan as JSON.
type scanResult struct {
	openapi.Scan
	// Suspended are the names of servers that were not scanned.
	Suspended []string `json:"suspended"`
	// Unreadable are the folders that could not be read, by the server's name.
	Unreadable map[string][]openapi.UnreadableFolder `json:"unreadable"`
}

func (a *app) scanCommand() *cobra.Command {
	var servers []string
	var wait bool
	cmd := &cobra.Command{
		Use: "scan", Short: "Scan servers now",
		Long: `Scans all active servers, or the named ones, before they are due. Suspended
servers are scanned only when named. With --wait it ends when all files found
have ended or failed, or wait for the partner. It exits with 5 when a server
could not be listed but may be later, or files wait for a done-marker or other
things that only the partner can send, and with 6 when a server, a folder or a
file needs attention.`,
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

func (a *app) waitScan(ctx context.Context, api *client.API, accepted openapi.ScanAccepted) error {
	progress := newProgress(a)
	scan, err := api.WaitScan(ctx, accepted.ScanUUID, progress.scan)
	progress.end()
	if err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("stopped waiting; scan %s continues", accepted.ScanUUID)
		}
		return err
	}
	servers, err := scannedServers(ctx, api, scan)
	if err != nil {
		return err
	}
	result := scanResult{scan, accepted.Suspended, map[string][]openapi.UnreadableFolder{}}
	for _, server := range servers {
		if len(server.Unreadable) > 0 {
			result.Unreadable[server.Name] = server.Unreadable
		}
	}
	err = a.printOne(result, func(w io.Writer) {
		printScan(w, scan)
		printUnreadable(w, servers)
	})
	if err != nil {
		return err
	}
	attention, partner := attention(scan, servers), partnerWaits(scan)
	switch failed, all := scanError(scan, accepted.Suspended), strings.Join(nonEmpty(attention, partner), "; "); {
	case failed != nil && all != "":
		a.note("%s", all)
		return failed
	case attention != "":
		return ingest.Errorf(ingest.KindConflict, "%s", all)
	case partner != "":
		return ingest.Errorf(ingest.KindTransient, "%s", all)
	default:
		return failed
	}
}

// scannedServers returns the servers of a scan as they are now.
func scannedServers(ctx context.Context, api *client.API, scan openapi.Scan) ([]openapi.Server, error) {
	servers, err := api.ListServers(ctx)
	return slices.DeleteFunc(servers, func(s openapi.Server) bool {
		return !slices.ContainsFunc(scan.Servers, func(scanned openapi.ScanServer) bool { return scanned.ServerUUID == s.ServerUUID })
	}), err
}

// attention describes what needs attention on the scanned servers; empty is nothing.
func attention(scan openapi.Scan, servers []openapi.Server) string {
	var found []string
	if failed := countFailed(scan); failed > 0 {
		found = append(found, fmt.Sprintf("%d file(s) need attention: `stevedore file list --status error`", failed))
	}
	for _, server := range servers {
		if server.HeldChanges > 0 {
			found = append(found, fmt.Sprintf("%d file(s) are held: `stevedore server changes %s`", server.HeldChanges, server.Name))
		}
		if server.UnreadableFolders > 0 {
			found = append(found, fmt.Sprintf("%d folder(s) could not be read: `stevedore server show %s`", server.UnreadableFolders, server.Name))
		}
	}
	return strings.Join(found, "; ")
}

// partnerWaits describes the files that wait for what only the partner can send.
func partnerWaits(scan openapi.Scan) string {
	var waits []string
	for _, server := range scan.Servers {
		if server.Waits != nil {
			waits = append(waits, server.Server+": "+*server.Waits)
		}
	}
	return strings.Join(waits, "; ")
}

// scanError returns nil when every server was scanned. Its kind is permanent when one of
// the failures is, and so is the suspension of a server.
func scanError(scan openapi.Scan, suspended []string) error {
	kind := ingest.KindTransient
	var failed []openapi.ScanServer
	for _, server := range scan.Servers {
		if server.State != openapi.ScanFailed {
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
		failed = append(failed, openapi.ScanServer{Server: name, Error: &reason})
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

func printScan(w io.Writer, scan openapi.Scan) {
	if len(scan.Servers) == 0 {
		return
	}
	fmt.Fprintln(w, "SERVER\tRESULT\tFILES")
	for _, server := range scan.Servers {
		result := "ok"
		if server.State == openapi.ScanFailed {
			result = "FAILED: " + safe(value(server.Error))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", safe(server.Server), result, counts(server.Files))
	}
}

// shownUnreadable bounds the printed folders of one server that could not be read.
const shownUnreadable = 10

func printUnreadable(w io.Writer, servers []openapi.Server) {
	for _, server := range servers {
		shown := server.Unreadable[:min(len(server.Unreadable), shownUnreadable)]
		for _, f := range shown {
			fmt.Fprintf(w, "%s\tnot read\t%s\n", safe(server.Name), safe(f.Path+" "+f.Reason))
		}
		if more := server.UnreadableFolders - int64(len(shown)); more > 0 {
			fmt.Fprintf(w, "%s\tnot read\tand %d more folders\n", safe(server.Name), more)
		}
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

func countFailed(scan openapi.Scan) (failed int64) {
	for _, server := range scan.Servers {
		failed += server.Files[string(ingest.StatusError)]
	}
	return failed
}
