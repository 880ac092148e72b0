package admin

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/workflows"
)

// sourceManual marks scans that a person asked for.
const sourceManual = "manual"

// ScanRun is a scan that has been handed to Temporal.
type ScanRun struct {
	// UUID names the request, WorkflowID and RunID its ScanAllServers.
	UUID       string
	WorkflowID string
	RunID      string
	// Suspended servers are not part of the scan: trying them again before a
	// person has mended them gets accounts locked.
	Suspended []ingest.Server
	// Servers counts those that the scan was asked for.
	Servers int
}

// Scan starts a scan and returns at once. Without servers (names or uuids) it
// is for all active ones, due or not, except those that are suspended; these
// are scanned when named. An unknown server is an ErrNotFound, one
// that is switched off an error of KindInvalid.
func (a *Admin) Scan(ctx context.Context, servers []string) (ScanRun, error) {
	run := ScanRun{UUID: a.d.NewUUID()}
	run.WorkflowID = ingest.ScanWorkflowID(run.UUID)
	in := workflows.ScanAllServersInput{Force: true, Source: sourceManual}
	var err error
	if len(servers) > 0 {
		in.Servers, err = a.named(ctx, servers)
		run.Servers = len(in.Servers)
	} else {
		in.Servers, err = a.scannable(ctx, &run)
	}
	if err != nil {
		return ScanRun{}, err
	}
	if err := a.record(ctx, "scan.start", run.UUID, map[string]any{"servers": servers}); err != nil {
		return ScanRun{}, err
	}
	run.RunID, err = a.d.Engine.StartScan(ctx, run.WorkflowID, in)
	if err != nil {
		return ScanRun{}, fmt.Errorf("start the scan: %w", err)
	}
	return run, nil
}

func (a *Admin) named(ctx context.Context, names []string) ([]string, error) {
	var uuids []string
	for _, name := range names {
		server, err := a.ShowServer(ctx, name)
		if err != nil {
			return nil, err
		}
		if !server.Active {
			return nil, ingest.Errorf(ingest.KindInvalid,
				"server %s is paused: run `stevedore server resume %s` first", server.Name, server.Name)
		}
		if !slices.Contains(uuids, server.UUID) {
			uuids = append(uuids, server.UUID)
		}
	}
	return uuids, nil
}

// scannable returns nothing, which means all, unless some must be left out.
func (a *Admin) scannable(ctx context.Context, run *ScanRun) ([]string, error) {
	servers, err := a.ListServers(ctx)
	if err != nil {
		return nil, err
	}
	var uuids []string
	for _, server := range servers {
		switch {
		case !server.Active:
		case server.State == ingest.ServerSuspended:
			run.Suspended = append(run.Suspended, server)
		default:
			uuids = append(uuids, server.UUID)
		}
	}
	run.Servers = len(uuids)
	if len(run.Suspended) == 0 {
		return nil, nil
	}
	if len(uuids) == 0 {
		first := run.Suspended[0]
		return nil, ingest.Errorf(ingest.KindOf(suspendedError(first)), "nothing to scan: every active server is suspended: %s", suspendedError(first))
	}
	return uuids, nil
}

// suspendedError says why a server is suspended and how to mend it.
func suspendedError(server ingest.Server) error {
	advice := fmt.Sprintf("mend it and run `stevedore server test %s`", server.Name)
	return ingest.Errorf(ingest.KindAuth, "server %s is suspended: %s", server.Name, cmp.Or(withoutName(server.LastError, server.Name), advice))
}

func serverUUIDs(servers []activities.ServerRef) []string {
	uuids := make([]string, len(servers))
	for i, server := range servers {
		uuids[i] = server.UUID
	}
	return uuids
}

// withoutName takes "server X: " or "server X " off a message that is going to
// stand behind it.
func withoutName(message, name string) string {
	rest, _ := strings.CutPrefix(message, "server "+name)
	return strings.TrimLeft(rest, ": ")
}
