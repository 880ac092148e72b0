package remote

import (
	"cmp"
	"context"
	"net/http"

	"github.com/google/uuid"

	"stevedore/activities"
	"stevedore/api/oas"
	"stevedore/internal/admin"
	"stevedore/internal/ingest"
	"stevedore/workflows"
)

// Scan starts a scan and returns at once, see admin.Scan.
func (c *Client) Scan(ctx context.Context, servers []string) (admin.ScanRun, error) {
	run := admin.ScanRun{Servers: len(servers)}
	body := oas.ScanRequest{}
	if len(servers) > 0 {
		body.Servers = &servers
	} else if err := c.expect(ctx, &run); err != nil {
		return admin.ScanRun{}, err
	}
	accepted, err := reply[oas.ScanAccepted]{c}.of(c.api.StartScan(ctx, nil, body))
	if err != nil {
		return admin.ScanRun{}, err
	}
	run.UUID, run.WorkflowID, run.RunID = accepted.ScanUUID, accepted.WorkflowID, accepted.RunID
	return run, nil
}

// expect says which servers a scan of all is for, and which it leaves out.
func (c *Client) expect(ctx context.Context, run *admin.ScanRun) error {
	servers, err := c.ListServers(ctx)
	for _, server := range servers {
		switch {
		case !server.Active:
		case server.State == ingest.ServerSuspended:
			run.Suspended = append(run.Suspended, server)
		default:
			run.Servers++
		}
	}
	return err
}

// WaitScan asks how the scan stands until every server of it, with the files it
// found, has ended, see admin.WaitScan.
func (c *Client) WaitScan(ctx context.Context, run admin.ScanRun, progress func(admin.ScanProgress)) (admin.ScanOutcome, error) {
	if progress == nil {
		progress = func(admin.ScanProgress) {}
	}
	id, err := uuid.Parse(run.UUID)
	if err != nil {
		return admin.ScanOutcome{}, ingest.Errorf(ingest.KindInvalid, "scan %q: give a uuid", ingest.Summary(run.UUID))
	}
	for {
		scan, err := reply[oas.Scan]{c}.of(c.api.GetScan(ctx, id))
		switch {
		case err != nil:
			return admin.ScanOutcome{}, err
		case scan.State != oas.ScanRunning && scan.Error != nil:
			return admin.ScanOutcome{}, ingest.Errorf(ingest.KindTransient, "scan %s failed: %s", run.UUID, *scan.Error)
		case scan.State != oas.ScanRunning:
			return outcome(scan, run), nil
		}
		progress(progressOf(scan))
		if err := sleep(ctx, c.poll); err != nil {
			return admin.ScanOutcome{}, err
		}
	}
}

func progressOf(scan oas.Scan) admin.ScanProgress {
	p := admin.ScanProgress{Total: len(scan.Servers), Files: map[ingest.Status]int64{}}
	for _, server := range scan.Servers {
		if server.State != oas.ScanRunning {
			p.Done++
		}
		for status, n := range server.Files {
			p.Files[ingest.Status(status)] += n
		}
	}
	return p
}

func outcome(scan oas.Scan, run admin.ScanRun) admin.ScanOutcome {
	o := admin.ScanOutcome{Summary: workflows.ScanSummary{Started: scan.Started, AlreadyRunning: scan.AlreadyRunning, Failed: scan.Failed}}
	for _, shown := range scan.Servers {
		ref := activities.ServerRef{UUID: shown.ServerUUID, Name: shown.Server}
		server := admin.ServerOutcome{Server: ref, Waits: orZero(shown.Waits), Files: map[ingest.Status]int64{}}
		for status, n := range shown.Files {
			server.Files[ingest.Status(status)] = n
		}
		if shown.State == oas.ScanFailed {
			server.Failure = &ingest.Failure{Step: ingest.StepDiscover, Kind: ingest.Kind(orZero(shown.ErrorKind)), Message: orZero(shown.Error)}
		}
		o.Summary.Servers = append(o.Summary.Servers, ref)
		o.Servers = append(o.Servers, server)
	}
	return o.WithSuspended(run.Suspended)
}

// PartReady asks whether a part of the service can do its work.
func (c *Client) PartReady(ctx context.Context, part string) error {
	response, err := c.api.GetReadiness(ctx)
	if err == nil && response.StatusCode == http.StatusServiceUnavailable {
		response.StatusCode = http.StatusOK // that a part is down is the answer
	}
	readiness, err := reply[struct{ Parts []oas.Part }]{c}.of(response, err)
	if err != nil {
		return err
	}
	for _, shown := range readiness.Parts {
		if shown.Name == part && !shown.Ready {
			return ingest.Errorf(ingest.KindTransient, "%s", cmp.Or(shown.Message, shown.Name+" is down"))
		}
	}
	return nil
}
