package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

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

// ServerOutcome is how one server's scan ended.
type ServerOutcome struct {
	Server activities.ServerRef
	// Failure is nil when the server was listed and the files found have ended
	// their way or wait for an operator.
	Failure *ingest.Failure
	// Files counts the server's files by status, all of them.
	Files map[ingest.Status]int64
	// Waits says which files wait for what only the partner can do; empty for none.
	Waits string
}

// ScanOutcome is how a scan ended.
type ScanOutcome struct {
	Summary workflows.ScanSummary
	// Servers are in order of name.
	Servers []ServerOutcome
}

// ScanProgress is how far a scan is.
type ScanProgress struct {
	// Done of Total servers have ended; Total is 0 until all have been started.
	Done, Total int
	// Files counts the files of all servers of the scan by status.
	Files map[ingest.Status]int64
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

// WaitScan waits until every server of the scan has been listed and the files
// it found have ended their way or wait for an operator or the partner. progress, may be nil,
// is called about once a second. Servers that failed are in the outcome, not
// in the error; see ScanOutcome.Err.
func (a *Admin) WaitScan(ctx context.Context, run ScanRun, progress func(ScanProgress)) (ScanOutcome, error) {
	if progress == nil {
		progress = func(ScanProgress) {}
	}
	progress(ScanProgress{})
	summary, err := a.d.Engine.AwaitScan(ctx, run.WorkflowID, run.RunID)
	if err != nil {
		return ScanOutcome{}, fmt.Errorf("wait for scan %s: %w", run.UUID, err)
	}
	outcome := ScanOutcome{Summary: summary}
	failures, err := a.awaitServers(ctx, run, summary.Servers, progress)
	if err != nil {
		return outcome, err
	}
	for i, server := range summary.Servers {
		outcome.Servers = append(outcome.Servers, ServerOutcome{Server: server, Failure: failures[i]})
	}
	outcome = outcome.WithSuspended(run.Suspended)
	err = a.countOutcome(ctx, &outcome)
	return outcome, err
}

// WithSuspended returns the outcome with the servers that were left out: they
// count as failed.
func (o ScanOutcome) WithSuspended(servers []ingest.Server) ScanOutcome {
	for _, server := range servers {
		o.Servers = append(o.Servers, ServerOutcome{
			Server:  activities.ServerRef{UUID: server.UUID, Name: server.Name},
			Failure: &ingest.Failure{Step: ingest.StepDiscover, Kind: ingest.KindAuth, Message: suspendedError(server).Error()},
		})
	}
	slices.SortFunc(o.Servers, func(x, y ServerOutcome) int { return cmp.Compare(x.Server.Name, y.Server.Name) })
	return o
}

// awaitServers waits for all servers side by side. It does not wait for what only
// partners can do, which may never come.
func (a *Admin) awaitServers(ctx context.Context, run ScanRun, servers []activities.ServerRef, progress func(ScanProgress)) ([]*ingest.Failure, error) {
	failures := make([]*ingest.Failure, len(servers))
	pending := make(map[int]context.CancelFunc, len(servers))
	ended := make(chan int)
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for i, server := range servers {
		one, stop := context.WithCancel(ctx)
		pending[i] = stop
		wg.Go(func() {
			if failure := a.awaitServer(one, server); one.Err() == nil {
				failures[i] = failure
			}
			select {
			case ended <- i:
			case <-ctx.Done():
			}
		})
	}
	tick := time.NewTicker(a.d.Poll)
	defer tick.Stop()
	for len(pending) > 0 {
		select {
		case i := <-ended:
			pending[i]()
			delete(pending, i)
			continue
		case <-tick.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		for i := range a.waitOnly(ctx, run, servers) {
			if stop := pending[i]; stop != nil {
				stop()
			}
		}
		a.report(ctx, servers, len(servers)-len(pending), progress)
	}
	return failures, ctx.Err()
}

// report says nothing when the database does not answer: waiting goes on.
func (a *Admin) report(ctx context.Context, servers []activities.ServerRef, done int, progress func(ScanProgress)) {
	ledger, err := a.d.Ledger(ctx)
	if err != nil {
		return
	}
	counts, err := ledger.CountFilesByServer(ctx, serverUUIDs(servers))
	if err != nil {
		return
	}
	total := map[ingest.Status]int64{}
	for _, byStatus := range counts {
		for status, n := range byStatus {
			total[status] += n
		}
	}
	progress(ScanProgress{Done: done, Total: len(servers), Files: total})
}

func (a *Admin) awaitServer(ctx context.Context, server activities.ServerRef) *ingest.Failure {
	err := a.d.Engine.AwaitServer(ctx, server.UUID)
	if err == nil {
		return nil
	}
	return &ingest.Failure{Step: ingest.StepDiscover, Kind: ingest.KindOf(err), Message: oneMessage(err)}
}

func (a *Admin) countOutcome(ctx context.Context, outcome *ScanOutcome) error {
	ledger, err := a.d.Ledger(ctx)
	if err != nil {
		return err
	}
	var refs []activities.ServerRef
	for _, server := range outcome.Servers {
		refs = append(refs, server.Server)
	}
	if len(refs) == 0 {
		return nil // no uuids would mean all servers
	}
	counts, err := ledger.CountFilesByServer(ctx, serverUUIDs(refs))
	if err != nil {
		return err
	}
	waits, err := ledger.WaitForPartner(ctx, serverUUIDs(refs))
	if err != nil {
		return err
	}
	for i := range outcome.Servers {
		uuid := outcome.Servers[i].Server.UUID
		outcome.Servers[i].Files, outcome.Servers[i].Waits = counts[uuid], waits[uuid].String()
	}
	return nil
}

func serverUUIDs(servers []activities.ServerRef) []string {
	uuids := make([]string, len(servers))
	for i, server := range servers {
		uuids[i] = server.UUID
	}
	return uuids
}

// Err returns nil when every server was scanned. Otherwise its kind says
// whether another scan may help: it is permanent as soon as one failure is.
func (o ScanOutcome) Err() error {
	var failed []ServerOutcome
	kind := ingest.KindTransient
	for _, server := range o.Servers {
		if server.Failure == nil {
			continue
		}
		failed = append(failed, server)
		if server.Failure.Kind.Permanent() {
			kind = server.Failure.Kind
		}
	}
	unstarted := o.Summary.Failed
	switch {
	case len(failed) == 1 && unstarted == 0:
		name := failed[0].Server.Name
		return ingest.Errorf(kind, "server %s was not scanned: %s", name, withoutName(failed[0].Failure.Message, name))
	case len(failed)+unstarted > 0:
		return ingest.Errorf(kind, "%d servers were not scanned: `stevedore server list` says why", len(failed)+unstarted)
	default:
		return nil
	}
}

// withoutName takes "server X: " or "server X " off a message that is going to
// stand behind it.
func withoutName(message, name string) string {
	rest, _ := strings.CutPrefix(message, "server "+name)
	return strings.TrimLeft(rest, ": ")
}

// oneMessage prefers the message made for people over its causes.
func oneMessage(err error) string {
	var known *ingest.Error
	if errors.As(err, &known) {
		return known.Message
	}
	return err.Error()
}
