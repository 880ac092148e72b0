package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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
	// Unreadable are the folders that could not be read, by server name.
	Unreadable map[string][]openapi.UnreadableFolder `json:"unreadable"`
}

func (a *app) scanCommand() *cobra.Command {
	var servers []string
	var wait bool
	progress := &progress{app: a}
	cmd := &cobra.Command{
		Use: "scan", Short: "Scan servers now",
		Long: `Scans all active servers, or the named ones, before they are due. Suspended
servers are scanned only when named.

--wait waits until all files found have ended, failed or wait for the partner, and
then reports what is left. Until then it lists on stderr, at growing
intervals, which files it waits for and why. The exit code is that of the worst
result: 6 when a server, folder or file needs attention; 5 when a server could
not be listed and may be later, when files wait for the partner, for example for
a done-marker, or after --timeout.`,
		Example: "  stevedore scan --server acme --wait --timeout 30m\n  stevedore scan show latest",
		Args:    noSuchCommand,
		RunE: a.calling(func(ctx context.Context, api *client.API, _ []string) error {
			if progress.timeout != 0 && !wait {
				return usageErrorf("--timeout requires --wait")
			}
			accepted, err := api.StartScan(ctx, nil, openapi.ScanRequest{Servers: givenList(servers)})
			if err != nil {
				return err
			}
			if accepted.Servers == 0 {
				a.note("there are no active servers: add one with `stevedore server add`")
			}
			for _, name := range accepted.Suspended {
				a.note("server %s is suspended and is not scanned: run `stevedore server test %s`", name, name)
			}
			progress.checkWorker(ctx, api)
			if wait {
				return a.waitScan(ctx, api, accepted, progress)
			}
			return a.showText(accepted, "scan %s started: see `stevedore scan show %s`", accepted.ScanUUID, accepted.ScanUUID)
		}),
	}
	a.addServers(cmd, &servers)
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until all files found have ended or failed")
	addTimeout(cmd, &progress.timeout)
	cmd.AddCommand(a.scanListCommand(), a.scanShowCommand())
	return cmd
}

func (a *app) waitScan(ctx context.Context, api *client.API, accepted openapi.ScanAccepted, progress *progress) error {
	scan, err := await(ctx, api, progress, accepted.ScanUUID, api.WaitScan, func(limited context.Context, s openapi.Scan) {
		progress.scan(limited, api, s)
	})
	if errors.Is(err, errExpired) { // before the first state, or long after the last one
		if latest, err := api.GetScan(ctx, accepted.ScanUUID); err == nil {
			scan = latest
		}
	}
	text, _, _ := scanProgress(scan)
	var expired error
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("stopped waiting; scan %s continues: %s", accepted.ScanUUID, text)
	case errors.Is(err, errExpired):
		expired = ingest.Errorf(ingest.KindTransient, "scan %s has not ended within %s and continues: %s", accepted.ScanUUID, progress.timeout, text)
		progress.left(ctx, api, scan)
	case err != nil:
		return err
	}
	list, err := api.ListServers(ctx)
	if err != nil {
		return err
	}
	servers := slices.DeleteFunc(list.Servers, func(s openapi.Server) bool {
		return !slices.ContainsFunc(scan.Servers, func(scanned openapi.ScanServer) bool { return scanned.ServerUUID == s.ServerUUID })
	})
	result := scanResult{scan, accepted.Suspended, map[string][]openapi.UnreadableFolder{}}
	for _, server := range servers {
		if len(server.Unreadable) > 0 {
			result.Unreadable[server.Name] = server.Unreadable
		}
	}
	if err := a.show(result, func(t *table) { a.rowsOfScan(t, scan, servers) }); err != nil {
		return err
	}
	return cmp.Or(expired, result.err(servers))
}

func (a *app) rowsOfScan(t *table, scan openapi.Scan, servers []openapi.Server) {
	t.wraps = true
	for _, server := range scan.Servers {
		t.cells(cell{"SERVER", safe(server.Server)}, cell{"FILES", counts(server.Files)}, cell{"RESULT", a.result(string(server.State), server.Server, server.Error)})
	}
	t.begin()
	for _, server := range servers {
		rowsOfNotes(t, safe(server.Name), server.Notes, server.Unreadable)
	}
}

// err returns nil when nothing is left. Otherwise the message lists all that is left, and
// the kind is permanent if one of them is.
func (r scanResult) err(servers []openapi.Server) error {
	kind := ingest.KindTransient
	var left []string
	add := func(k ingest.Kind, format string, args ...any) {
		if left = append(left, fmt.Sprintf(format, args...)); k.Permanent() && !kind.Permanent() {
			kind = k
		}
	}
	failed := int64(0)
	for _, server := range r.Servers {
		failed += server.Files[string(ingest.StatusError)]
		if server.State == openapi.ScanFailed {
			add(ingest.Kind(value(server.ErrorKind)), "server %s was not scanned: %s", server.Server, withoutServer(server.Server, value(server.Error)))
		}
	}
	for _, name := range r.Suspended {
		add(ingest.KindSuspended, "server %s was not scanned: it is suspended: run `stevedore server test %s`", name, name)
	}
	if r.Failed > 0 {
		add(ingest.KindTransient, "the scan of %s could not be started", ingest.Counted(int64(r.Failed), "server", "servers"))
	}
	if len(left) > 1 {
		left = []string{fmt.Sprintf("%d servers were not scanned: `stevedore server list` shows the errors", len(left)+max(0, r.Failed-1))}
	}
	if failed > 0 {
		add(ingest.KindConflict, "need attention: %s, see `stevedore file list --status error`", ingest.Counted(failed, "file", "files"))
	}
	for _, server := range servers {
		if server.HeldChanges > 0 {
			add(ingest.KindConflict, "held: %s, see `stevedore server changes %s`", ingest.Counted(server.HeldChanges, "file", "files"), server.Name)
		}
		if server.UnreadableFolders > 0 {
			add(ingest.KindConflict, "could not be read: %s, see `stevedore server show %s`", ingest.Counted(server.UnreadableFolders, "folder", "folders"), server.Name)
		}
	}
	for _, server := range r.Servers {
		if server.Waits != nil {
			add(ingest.KindTransient, "%s: %s", server.Server, *server.Waits)
		}
	}
	if len(left) == 0 {
		return nil
	}
	return ingest.Errorf(kind, "%s", strings.Join(left, "; "))
}
