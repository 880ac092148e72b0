package client

import (
	"cmp"
	"context"
	"net/http"

	"github.com/google/uuid"

	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

// StartScan starts a scan of the servers, names or uuids; none means all active servers
// that are not suspended. It does not wait.
func (c *API) StartScan(ctx context.Context, servers []string) (openapi.ScanAccepted, error) {
	body := openapi.ScanRequest{}
	if len(servers) > 0 {
		body.Servers = &servers
	}
	return reply[openapi.ScanAccepted]{c}.of(c.raw.StartScan(ctx, nil, body))
}

// WaitScan polls a scan until each server has been listed and each file found has ended
// or failed. It calls progress with every response.
func (c *API) WaitScan(ctx context.Context, scanUUID string, progress func(openapi.Scan)) (openapi.Scan, error) {
	id, err := uuid.Parse(scanUUID)
	if err != nil {
		return openapi.Scan{}, c.unreadable(err)
	}
	for {
		scan, err := reply[openapi.Scan]{c}.of(c.raw.GetScan(ctx, id))
		switch {
		case err != nil:
			return openapi.Scan{}, err
		case scan.State != openapi.ScanRunning && scan.Error != nil:
			return scan, ingest.Errorf(ingest.KindTransient, "scan %s failed: %s", scanUUID, *scan.Error)
		case scan.State != openapi.ScanRunning:
			return scan, nil
		}
		progress(scan)
		if err := sleep(ctx, c.poll); err != nil {
			return scan, err
		}
	}
}

// CheckPart returns an error when a part of the service is down, by its name in the
// API's readiness.
func (c *API) CheckPart(ctx context.Context, part string) error {
	response, err := c.raw.GetReadiness(ctx)
	if err == nil && response.StatusCode == http.StatusServiceUnavailable {
		response.StatusCode = http.StatusOK // the body lists the parts
	}
	readiness, err := reply[struct{ Parts []openapi.Part }]{c}.of(response, err)
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
