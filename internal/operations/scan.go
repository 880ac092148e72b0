package operations

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

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
	asked, err := s.serversOf(ctx, servers)
	if err == nil {
		asked, run.Suspended, err = scannable(asked, len(servers) > 0)
	}
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
		run.RunID, err = s.startOnce(ctx, run.WorkflowID, in, when.delay)
		return err
	})
	if err != nil {
		return ScanRun{}, fmt.Errorf("start the scan: %w", err)
	}
	return run, nil
}

// startOnce starts the scan. Concurrent requests for the same scan share one start: Temporal
// serves those of one workflow one after another.
func (s *Service) startOnce(ctx context.Context, workflowID string, in workflows.ScanAllServersInput, delay time.Duration) (runID string, err error) {
	started := s.starts.DoChan(workflowID, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), startTimeout)
		defer cancel()
		return s.d.Orchestrator.StartScan(ctx, workflowID, in, delay)
	})
	select {
	case result := <-started:
		runID, _ = result.Val.(string)
		return runID, result.Err
	case <-ctx.Done():
		return "", ingest.Wrap(ingest.KindTransient, context.Cause(ctx), "the request ended before Temporal responded")
	}
}

// startTimeout bounds the start of a scan, which may outlast the request.
const startTimeout = time.Minute

// scannable returns the servers that a scan includes. A scan without names omits paused and
// suspended servers.
func scannable(servers []ingest.Server, named bool) (included, suspended []ingest.Server, err error) {
	for _, server := range servers {
		switch {
		case named && !server.Active:
			return nil, nil, ingest.Errorf(ingest.KindInvalid,
				"server %s is paused: run `stevedore server resume %s` first", server.Name, server.Name)
		case !server.Active:
		case !named && server.State == ingest.ServerSuspended:
			suspended = append(suspended, server)
		default:
			included = append(included, server)
		}
	}
	if len(suspended) > 0 && len(included) == 0 {
		reason := suspendedError(suspended[0])
		return nil, nil, ingest.Errorf(ingest.KindOf(reason), "nothing to scan: every active server is suspended: %s", reason)
	}
	return included, suspended, nil
}

// suspendedError returns the reason why a server is suspended and the advice to fix it.
func suspendedError(server ingest.Server) error {
	advice := fmt.Sprintf("fix the problem and run `stevedore server test %s`", server.Name)
	return ingest.Errorf(ingest.KindAuth, "server %s is suspended: %s", server.Name, cmp.Or(withoutName(server.LastError, server.Name), advice))
}

// withoutName removes the prefix "server X: " or "server X " from a message that is appended
// to the same prefix.
func withoutName(message, name string) string {
	rest, _ := strings.CutPrefix(message, "server "+name)
	return strings.TrimLeft(rest, ": ")
}
