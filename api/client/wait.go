package client

import (
	"cmp"
	"context"
	"time"

	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

// WaitScan polls a scan until each server has been listed and each file found has ended
// or failed. It calls progress with every response. With an error it still returns the
// last response.
func (c *API) WaitScan(ctx context.Context, scanUUID string, progress func(openapi.Scan)) (openapi.Scan, error) {
	scan, err := wait(ctx, c.poll, func() (openapi.Scan, bool, error) {
		scan, err := c.GetScan(ctx, scanUUID)
		return scan, scan.State == openapi.ScanRunning, err
	}, progress)
	if err == nil && scan.Error != nil {
		err = ingest.Errorf(ingest.KindTransient, "scan %s failed: %s", scanUUID, *scan.Error)
	}
	return scan, err
}

// WaitAudit polls an audit until it has ended and calls progress with every response. An
// audit that failed is an error. The audit continues when the caller stops waiting. With
// an error it still returns the last response.
func (c *API) WaitAudit(ctx context.Context, auditUUID string, progress func(openapi.AuditRun)) (openapi.AuditRun, error) {
	run, err := wait(ctx, c.poll, func() (openapi.AuditRun, bool, error) {
		run, err := c.GetAudit(ctx, auditUUID)
		return run, run.State == openapi.AuditRunning, err
	}, progress)
	if err == nil && run.State == openapi.AuditFailed {
		err = ingest.Errorf(ingest.KindTransient, "audit %s failed: %s", auditUUID, orZero(run.Error))
	}
	return run, err
}

// wait calls get until it reports that nothing runs, and progress with each value until
// then. With an error it still returns the last value.
func wait[T any](ctx context.Context, interval time.Duration, get func() (value T, running bool, err error), progress func(T)) (last T, _ error) {
	for {
		value, running, err := get()
		if err != nil {
			return last, err
		}
		if last = value; !running {
			return last, nil
		}
		progress(value)
		if err := sleep(ctx, interval); err != nil {
			return last, err
		}
	}
}

// CheckPart returns an error when a part of the service is down, by its name in the
// API's readiness.
func (c *API) CheckPart(ctx context.Context, part string) error {
	readiness, err := c.GetReadiness(ctx)
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
