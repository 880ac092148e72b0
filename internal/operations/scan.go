package operations

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"stevedore/activities"
	"stevedore/internal/access"
	"stevedore/internal/ingest"
	"stevedore/internal/temporalnames"
	"stevedore/workflows"
)

// ScanRun is a scan that was started in Temporal.
type ScanRun struct {
	// UUID identifies the request, WorkflowID and RunID its ScanAllServers.
	UUID       string
	WorkflowID string
	RunID      string
	// Suspended are the servers that the scan omits, because logins before the problem is
	// fixed can lock accounts.
	Suspended []ingest.Server
	// Servers is the number of servers in the scan.
	Servers int
}

// StartScan implements Scans.
func (s *Service) StartScan(ctx context.Context, servers []string) (ScanRun, error) {
	var run ScanRun
	in := workflows.ScanAllServersInput{Force: true, Source: ingest.SourceManual, RequestedBy: access.From(ctx).Name}
	asked, err := s.askedFor(ctx, servers, &run)
	if err != nil {
		return ScanRun{}, err
	}
	if len(servers) > 0 || len(run.Suspended) > 0 { // otherwise all
		in.Servers = uuidsOf(asked)
	}
	when, err := s.takeTurn(ctx, asked)
	if err != nil {
		return ScanRun{}, fmt.Errorf("start the scan: %w", err)
	}
	run.UUID, run.WorkflowID, run.Servers = when.uuid, temporalnames.ScanWorkflowID(when.uuid), len(asked)
	err = s.trail.Do(ctx, "scan.start", run.UUID, map[string]any{"servers": servers}, func(string) error {
		run.RunID, err = s.d.Orchestrator.StartScan(ctx, run.WorkflowID, in, when.delay)
		return err
	})
	if err != nil {
		return ScanRun{}, fmt.Errorf("start the scan: %w", err)
	}
	return run, nil
}

// askedFor returns the servers to scan.
func (s *Service) askedFor(ctx context.Context, names []string, run *ScanRun) ([]ingest.Server, error) {
	if len(names) > 0 {
		return s.named(ctx, names)
	}
	return s.scannable(ctx, run)
}

func uuidsOf(servers []ingest.Server) []string {
	uuids := make([]string, len(servers))
	for i, server := range servers {
		uuids[i] = server.UUID
	}
	return uuids
}

func (s *Service) named(ctx context.Context, names []string) ([]ingest.Server, error) {
	var servers []ingest.Server
	for _, name := range names {
		server, err := s.GetServer(ctx, name)
		if err != nil {
			return nil, err
		}
		if !server.Active {
			return nil, ingest.Errorf(ingest.KindInvalid,
				"server %s is paused: run `stevedore server resume %s` first", server.Name, server.Name)
		}
		if !slices.ContainsFunc(servers, func(other ingest.Server) bool { return other.UUID == server.UUID }) {
			servers = append(servers, server)
		}
	}
	return servers, nil
}

// scannable returns all servers that a scan without names includes, and adds the omitted
// ones to run.Suspended.
func (s *Service) scannable(ctx context.Context, run *ScanRun) (scannable []ingest.Server, err error) {
	servers, err := s.ListServers(ctx)
	if err != nil {
		return nil, err
	}
	for _, server := range servers {
		switch {
		case !server.Active:
		case server.State == ingest.ServerSuspended:
			run.Suspended = append(run.Suspended, server)
		default:
			scannable = append(scannable, server)
		}
	}
	if len(run.Suspended) > 0 && len(scannable) == 0 {
		first := run.Suspended[0]
		return nil, ingest.Errorf(ingest.KindOf(suspendedError(first)), "nothing to scan: every active server is suspended: %s", suspendedError(first))
	}
	return scannable, nil
}

// suspendedError returns the reason why a server is suspended and the advice to fix it.
func suspendedError(server ingest.Server) error {
	advice := fmt.Sprintf("fix the problem and run `stevedore server test %s`", server.Name)
	return ingest.Errorf(ingest.KindAuth, "server %s is suspended: %s", server.Name, cmp.Or(withoutName(server.LastError, server.Name), advice))
}

func serverUUIDs(servers []activities.ServerRef) []string {
	uuids := make([]string, len(servers))
	for i, server := range servers {
		uuids[i] = server.UUID
	}
	return uuids
}

// withoutName removes the prefix "server X: " or "server X " from a message that is appended
// to the same prefix.
func withoutName(message, name string) string {
	rest, _ := strings.CutPrefix(message, "server "+name)
	return strings.TrimLeft(rest, ": ")
}
