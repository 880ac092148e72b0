package operations

import (
	"context"
	"sync"
	"time"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/orchestrator"
	"stevedore/internal/temporalnames"
	"stevedore/workflows"
)

// ScanState is the state of a scan or of one server's part of it.
type ScanState string

// The states of a scan.
const (
	ScanRunning   ScanState = "running"
	ScanCompleted ScanState = "completed"
	ScanFailed    ScanState = "failed"
)

// ScanStatus describes the progress of a scan.
type ScanStatus struct {
	UUID       string
	WorkflowID string
	RunID      string
	// State is running until the scans of all servers have ended. It is failed if the
	// scan of a server could not be started or a server could not be listed.
	State     ScanState
	StartedAt time.Time
	// StartedAllAt is the time at which the last server's scan was started; zero until
	// then.
	StartedAllAt time.Time
	// Err is the failure of the ScanAllServers workflow, or that no worker runs it; nil for none.
	Err     error
	Summary workflows.ScanSummary
	Servers []ScanServerStatus
}

// ScanServerStatus describes one server's part of a scan.
type ScanServerStatus struct {
	Server activities.ServerRef
	State  ScanState
	// Err is the error of listing the server; nil for none.
	Err error
	// Files counts all files of the server by status.
	Files map[ingest.Status]int64
	// Waits describes the files that wait for the partner, for example for a marker file;
	// empty for none. A server with only such files counts as completed, because the
	// partner may never act.
	Waits string
}

// maxDescribes bounds the concurrent calls to Temporal for one status.
const maxDescribes = 16

// GetScan implements Scans.
func (s *Service) GetScan(ctx context.Context, requestUUID string) (ScanStatus, error) {
	id := temporalnames.ScanWorkflowID(requestUUID)
	scan, err := s.d.Orchestrator.DescribeScan(ctx, id)
	if err != nil {
		if ingest.KindOf(err) == ingest.KindMissing {
			return ScanStatus{}, notFound("there is no scan %s, or its retention has expired", requestUUID)
		}
		return ScanStatus{}, err
	}
	status := ScanStatus{
		UUID: requestUUID, WorkflowID: id, RunID: scan.RunID, StartedAt: scan.StartedAt, StartedAllAt: scan.ClosedAt,
		Err: scan.Err, Summary: scan.Summary, State: ScanRunning,
	}
	if scan.Running {
		status.Err = s.noWorker(ctx)
		return status, nil
	}
	if scan.Err != nil {
		status.State = ScanFailed
		return status, nil //nolint:nilerr // that the scan failed is the answer, not a failure to answer
	}
	if status.Servers, err = s.serverStates(ctx, scan); err != nil {
		return status, err
	}
	err = s.countScanned(ctx, scan, status.Servers)
	if status.State = overall(status); status.State == ScanRunning {
		status.Err = s.noWorker(ctx)
	}
	return status, err
}

func (s *Service) countScanned(ctx context.Context, scan orchestrator.Execution, states []ScanServerStatus) error {
	var servers []string
	for _, server := range scan.Summary.Servers {
		servers = append(servers, server.UUID)
	}
	if len(servers) == 0 {
		return nil // no uuids would mean all servers
	}
	counts, err := s.d.Ledger.CountFilesByServer(ctx, servers)
	if err != nil {
		return err
	}
	waits, err := s.d.Ledger.PartnerWaits(ctx, servers)
	if err != nil {
		return err
	}
	for i := range states {
		state := &states[i]
		wait := waits[state.Server.UUID]
		state.Files, state.Waits = counts[state.Server.UUID], wait.String()
		if state.State == ScanRunning && wait.Only(scan.StartedAt) {
			state.State = ScanCompleted
		}
	}
	return nil
}

func (s *Service) serverStates(ctx context.Context, scan orchestrator.Execution) ([]ScanServerStatus, error) {
	states := make([]ScanServerStatus, len(scan.Summary.Servers))
	errs := make([]error, len(states))
	slots := make(chan struct{}, maxDescribes)
	var wg sync.WaitGroup
	for i, server := range scan.Summary.Servers {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			states[i], errs[i] = s.serverState(ctx, server, scan.ClosedAt)
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return states, nil
}

// serverState returns the state of the server's latest DiscoverFiles. A workflow that
// started after all of this scan's were started belongs to a later scan, so this one has
// ended.
func (s *Service) serverState(ctx context.Context, server activities.ServerRef, startedAll time.Time) (ScanServerStatus, error) {
	state := ScanServerStatus{Server: server, State: ScanCompleted}
	run, err := s.d.Orchestrator.DescribeServer(ctx, server.UUID)
	switch {
	case err != nil && ingest.KindOf(err) == ingest.KindMissing:
		return state, nil
	case err != nil:
		return state, err
	case run.StartedAt.After(startedAll) && !run.Continued:
		return state, nil
	case run.Running:
		state.State = ScanRunning
	case run.Err != nil:
		state.State, state.Err = ScanFailed, run.Err
	}
	return state, nil
}

func overall(status ScanStatus) ScanState {
	state := ScanCompleted
	if status.Summary.Failed > 0 {
		state = ScanFailed
	}
	for _, server := range status.Servers {
		switch server.State {
		case ScanRunning:
			return ScanRunning
		case ScanFailed:
			state = ScanFailed
		}
	}
	return state
}
