package operations

import (
	"context"
	"sync"
	"time"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/orchestrator"
	"stevedore/workflows"
)

// ScanState says how a scan, or one server's part of it, stands.
type ScanState string

// The states of a scan.
const (
	ScanRunning   ScanState = "running"
	ScanCompleted ScanState = "completed"
	ScanFailed    ScanState = "failed"
)

// ScanStatus is how a scan stands.
type ScanStatus struct {
	UUID       string
	WorkflowID string
	RunID      string
	// State is running until every server's part has ended, and failed when
	// one could not be started or listed.
	State     ScanState
	StartedAt time.Time
	// StartedAllAt is when all servers' scans had been started; zero until then.
	StartedAllAt time.Time
	// Err is why the scan failed as a whole.
	Err     error
	Summary workflows.ScanSummary
	Servers []ScanServerStatus
}

// ScanServerStatus is how one server's part of a scan stands.
type ScanServerStatus struct {
	Server activities.ServerRef
	State  ScanState
	// Err is why the server could not be listed.
	Err error
	// Files counts the server's files by status, all of them.
	Files map[ingest.Status]int64
	// Waits says which files wait for what only the partner can do; empty for none.
	// A server of which nothing else is left counts as completed: it may never come.
	Waits string
}

// maxDescribes bounds the concurrent calls to Temporal for one status.
const maxDescribes = 16

// GetScan implements Scans.
func (s *Service) GetScan(ctx context.Context, requestUUID string) (ScanStatus, error) {
	id := ingest.ScanWorkflowID(requestUUID)
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
	status.State = overall(status)
	return status, err
}

func (s *Service) countScanned(ctx context.Context, scan orchestrator.Execution, states []ScanServerStatus) error {
	servers := serverUUIDs(scan.Summary.Servers)
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

// serverState looks at the server's latest DiscoverFiles. One that began after
// all of this scan's had been started belongs to a later scan: ours has ended.
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
