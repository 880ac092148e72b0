package client

import (
	"cmp"
	"context"
	"iter"

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
	return read[openapi.ScanAccepted](c.raw.StartScan(ctx, nil, body))
}

// Scan returns a scan.
func (c *API) Scan(ctx context.Context, scanUUID string) (openapi.Scan, error) {
	id, err := parseUUID("scan", scanUUID)
	if err != nil {
		return openapi.Scan{}, err
	}
	return read[openapi.Scan](c.raw.GetScan(ctx, id))
}

// WaitScan polls a scan until each server has been listed and each file found has ended
// or failed. It calls progress with every response. With an error it still returns the
// last response.
func (c *API) WaitScan(ctx context.Context, scanUUID string, progress func(openapi.Scan)) (openapi.Scan, error) {
	scan, err := wait(ctx, c.poll, func() (openapi.Scan, bool, error) {
		scan, err := c.Scan(ctx, scanUUID)
		return scan, scan.State == openapi.ScanRunning, err
	}, progress)
	if err == nil && scan.Error != nil {
		err = ingest.Errorf(ingest.KindTransient, "scan %s failed: %s", scanUUID, *scan.Error)
	}
	return scan, err
}

// Listing returns the scan of a server with the id.
func (c *API) Listing(ctx context.Context, id int64) (openapi.Listing, error) {
	return read[openapi.Listing](c.raw.GetServerScan(ctx, id))
}

// Listings returns the scans of a server, by name or uuid, the latest first, and ends at
// the first error. An empty server means all, a positive limit bounds their number.
func (c *API) Listings(ctx context.Context, server string, limit int) iter.Seq2[openapi.Listing, error] {
	return items(limit, func(size int, cursor *string) ([]openapi.Listing, *string, error) {
		page, err := read[openapi.ScanList](c.raw.ListScans(ctx, &openapi.ListScansParams{Server: given(server), Limit: &size, Cursor: cursor}))
		return page.Scans, page.NextCursor, err
	})
}

// CheckPart returns an error when a part of the service is down, by its name in the
// API's readiness.
func (c *API) CheckPart(ctx context.Context, part string) error {
	readiness, err := read[struct{ Parts []openapi.Part }](c.raw.GetReadiness(ctx))
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
