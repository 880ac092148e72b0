package servicedouble

import (
	"context"

	"stevedore/internal/ingest"
	"stevedore/internal/operations"
)

// StartScan implements operations.Scans.
func (s *Service) StartScan(_ context.Context, servers []string) (operations.ScanRun, error) {
	s.ScannedServers = append([]string{}, servers...)
	return s.Scan, s.Err
}

// GetScan implements operations.Scans.
func (s *Service) GetScan(context.Context, string) (operations.ScanStatus, error) {
	status := s.Scanned
	if status.State == "" { // it was returned as running
		status.State = operations.ScanCompleted
		return status, s.ReadErr
	}
	s.Scanned.State = ""
	status.State, status.Servers = operations.ScanRunning, nil
	for _, server := range s.Scanned.Servers {
		server.State, server.Err, server.Files = operations.ScanRunning, nil, map[ingest.Status]int64{ingest.StatusDownloading: 1}
		status.Servers = append(status.Servers, server)
	}
	return status, s.ReadErr
}

// ListScans implements operations.Scans.
func (s *Service) ListScans(_ context.Context, _ string, before int64, limit int) (ingest.Page[ingest.Scan], error) {
	return page(s.Listings, func(l ingest.Scan) int64 { return l.ID }, before, limit), s.ReadErr
}

// GetServerScan implements operations.Scans.
func (s *Service) GetServerScan(_ context.Context, id int64) (ingest.Scan, error) {
	for _, listing := range s.Listings {
		if listing.ID == id {
			return listing, s.ReadErr
		}
	}
	return ingest.Scan{}, missing("there is no listing %d", id)
}

// ListReconciliations implements operations.Scans.
func (s *Service) ListReconciliations(context.Context, int64, int) (ingest.Page[ingest.Reconciliation], error) {
	return ingest.Page[ingest.Reconciliation]{Items: s.Reconciled}, s.ReadErr
}

// StartAudit implements operations.Audits.
func (s *Service) StartAudit(_ context.Context, servers []string, deep bool) (ingest.AuditRun, error) {
	s.record("audit %v, deep %t", servers, deep)
	if s.Err != nil {
		return ingest.AuditRun{}, s.Err
	}
	run := s.AuditRuns[0]
	run.State = ingest.AuditRunning
	return run, nil
}

// GetAudit implements operations.Audits.
func (s *Service) GetAudit(_ context.Context, uuid string) (ingest.AuditRun, error) {
	for _, run := range s.AuditRuns {
		if run.UUID == uuid {
			return run, s.ReadErr
		}
	}
	return ingest.AuditRun{}, missing("there is no audit %s", uuid)
}

// ListAudits implements operations.Audits.
func (s *Service) ListAudits(context.Context, int64, int) (ingest.Page[ingest.AuditRun], error) {
	return ingest.Page[ingest.AuditRun]{Items: s.AuditRuns}, s.ReadErr
}

// ListDiscrepancies implements operations.Audits.
func (s *Service) ListDiscrepancies(_ context.Context, _ string, after int64, limit int) (ingest.Page[ingest.Discrepancy], error) {
	return page(s.Discrepancies, func(d ingest.Discrepancy) int64 { return d.Seq }, after, limit), s.ReadErr
}
