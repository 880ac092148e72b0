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
	// Pass identifies the pass. It starts or signals each scan only once.
	Pass string `json:"pass"`
	// Source is the origin of the scan: "schedule" or "manual".
	Source string `json:"source"`
	// RequestedBy is the name of the principal who requested a manual scan.
	RequestedBy string `json:"requested_by,omitempty"`
	// Servers restricts the pass to these names or uuids; empty means all.
	Servers []string `json:"servers,omitempty"`
	// Force includes servers that are not due or are suspended.
	Force bool `json:"force,omitempty"`
	// Tick is the interval of the schedule, in nanoseconds; 0 if there is none.
	Tick time.Duration `json:"tick,omitempty"`
}

// ServerRef identifies a server.
type ServerRef struct {
	UUID string `json:"uuid"`
	Name string `json:"name"`
}

// ScanSummary counts the results of a pass.
type ScanSummary struct {
	// Started scans are new; AlreadyRunning ones were signalled to list again.
	Started        int `json:"started"`
	AlreadyRunning int `json:"already_running"`
	// Failed scans could not be started.
	Failed int `json:"failed"`
	// Servers are the first 200 with a started or signalled scan.
	Servers []ServerRef `json:"servers,omitempty"`
}

// PassProgress is the position of a scan of all servers, from which the next attempt
// continues.
type PassProgress struct {
	AfterUUID string      `json:"after_uuid,omitempty"`
	Done      ScanSummary `json:"done"`
}

// StartScans starts the scan of each due server and signals running ones to list again.
// It waits for none of them. After a crash the next attempt continues after the last
// finished page; scans that are started or signalled again recognize the pass. Listings
// within workflow tasks wait meanwhile, see startGate.
func (a *Activities) StartScans(ctx context.Context, in StartScansInput) (ScanSummary, error) {
	p := &pass{Activities: a, in: in}
	if activity.HasHeartbeatDetails(ctx) {
		_ = activity.GetHeartbeatDetails(ctx, &p.at) // unreadable details: start at the beginning
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

// page starts the scans of the next page of servers and reports whether another page may
// follow. A scan that cannot be started is counted and does not delay the others; its
// server is due again at the next pass.
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

// scanOutcome is the result for one server.
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
