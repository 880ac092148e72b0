package activities

import (
	"context"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
	"golang.org/x/sync/errgroup"

	"stevedore/internal/ingest"
)

const (
	// duePage is the page size for reading due servers from the ledger.
	duePage = 200
	// scansNamed bounds the servers named in a result.
	scansNamed = 200
)

// StartScansInput selects the servers of one pass.
type StartScansInput struct {
	// Pass names the pass. A scan that was started or asked by it is not asked again.
	Pass string `json:"pass"`
	// Source says who asked: "schedule" or "manual".
	Source string `json:"source"`
	// Servers restricts to these names or uuids; empty means all.
	Servers []string `json:"servers,omitempty"`
	// Force takes servers that are not due or are suspended, too.
	Force bool `json:"force,omitempty"`
	// Tick is how often all servers are looked at, in nanoseconds; 0 when that is
	// not known.
	Tick time.Duration `json:"tick,omitempty"`
}

// ServerRef is a server as far as a workflow needs it.
type ServerRef struct {
	UUID string `json:"uuid"`
	Name string `json:"name"`
}

// ScanSummary counts what became of the servers' scans.
type ScanSummary struct {
	// Started scans are new; AlreadyRunning ones were asked to list again.
	Started        int `json:"started"`
	AlreadyRunning int `json:"already_running"`
	// Failed scans could not be started.
	Failed int `json:"failed"`
	// Servers are the first 200 whose scans were started or asked.
	Servers []ServerRef `json:"servers,omitempty"`
}

// PassProgress is what a pass shows in its heartbeats, and where the next attempt
// continues.
type PassProgress struct {
	AfterUUID string      `json:"after_uuid,omitempty"`
	Done      ScanSummary `json:"done"`
}

// StartScans starts the scan of each due server, and asks those that run to list
// once more. It waits for none of them. An attempt that dies is continued after
// the last page that was done; a scan of that page that is started or asked again
// recognizes the pass. Listings within workflow tasks wait meanwhile, see startGate.
func (a *Activities) StartScans(ctx context.Context, in StartScansInput) (ScanSummary, error) {
	p := &pass{Activities: a, in: in}
	if activity.HasHeartbeatDetails(ctx) {
		_ = activity.GetHeartbeatDetails(ctx, &p.at) // unreadable: from the start
	}
	ctx, stop := startHeartbeat(ctx, p.heartbeatDetails)
	defer stop()
	defer a.startGate.enter()()
	for {
		more, err := p.page(ctx)
		if err != nil || !more {
			return p.at.Done, applicationError(err)
		}
	}
}

// pass is one attempt of StartScans.
type pass struct {
	*Activities
	in StartScansInput

	mu sync.Mutex
	at PassProgress
}

// page starts the scans of the next page of servers and reports whether another
// page may follow. A scan that cannot be started is counted, and its server is due
// again at the next pass: one that Temporal refuses does not delay the others.
func (p *pass) page(ctx context.Context) (more bool, err error) {
	servers, err := p.Catalog.DueServers(ctx, ingest.DueQuery{
		AfterUUID: p.at.AfterUUID, Limit: duePage, Servers: p.in.Servers, Force: p.in.Force, Tick: p.in.Tick,
	})
	if err != nil || len(servers) == 0 {
		return false, err
	}
	done := make([]scanOutcome, len(servers))
	group, starting := errgroup.WithContext(ctx)
	group.SetLimit(maxStarts)
	for i, server := range servers {
		group.Go(func() error {
			done[i] = p.start(starting, server)
			return context.Cause(ctx)
		})
	}
	if err := group.Wait(); err != nil {
		return false, err
	}
	p.record(servers, done)
	return len(servers) == duePage, nil
}

// scanned is what became of one server's scan.
type scanOutcome int

const (
	scanFailed scanOutcome = iota
	scanStarted
	scanAsked
)

func (p *pass) start(ctx context.Context, server ingest.Server) scanOutcome {
	started, err := p.Workflows.StartScan(ctx, ServerRef{UUID: server.UUID, Name: server.Name}, p.in)
	switch {
	case err != nil:
		p.Log.WarnContext(ctx, "cannot start the scan of a server", "server", server.Name, "error", err)
		return scanFailed
	case started:
		return scanStarted
	default:
		return scanAsked
	}
}

func (p *pass) record(servers []ingest.Server, done []scanOutcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at.AfterUUID = servers[len(servers)-1].UUID
	sum := &p.at.Done
	for i, server := range servers {
		switch done[i] {
		case scanFailed:
			sum.Failed++
			continue
		case scanStarted:
			sum.Started++
		case scanAsked:
			sum.AlreadyRunning++
		}
		if len(sum.Servers) < scansNamed {
			sum.Servers = append(sum.Servers, ServerRef{UUID: server.UUID, Name: server.Name})
		}
	}
}

func (p *pass) heartbeatDetails() any {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at
}
