package operations

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"stevedore/internal/audit"
	"stevedore/internal/ingest"
)

// listedAtOnce bounds concurrent listings, so that a server that does not answer delays few
// others.
const listedAtOnce = 4

// AuditRequest holds the options of an audit.
type AuditRequest struct {
	// Servers restricts the audit to these names or uuids; empty means all.
	Servers []string
	// Deep reads every object again instead of trusting its metadata.
	Deep bool
	// Progress is called often with the current counts; nil for no calls.
	Progress func(ingest.AuditCounts)
}

// Audit compares the servers' listings with the ledger, and the ledger with the object store
// and the recorded notifications. It calls fn for each discrepancy, never concurrently. It
// changes nothing and may run at any time: files in flight are pending, not discrepancies.
// Memory does not grow with the number of files, except that a listing holds one folder.
//
// The counts are valid even if an error is returned. An unknown server is ErrNotFound.
func (s *Service) Audit(ctx context.Context, req AuditRequest, fn func(ingest.Discrepancy) error) (ingest.AuditCounts, error) {
	servers, err := s.serversOf(ctx, req.Servers)
	if err != nil {
		return ingest.AuditCounts{}, err
	}
	auditor := &audit.Auditor{Ledger: s.d.AuditLedger, Deep: req.Deep, Now: s.d.Now, Report: fn, Progress: req.Progress}
	if auditor.Objects, err = s.d.Objects(ctx); err != nil {
		return ingest.AuditCounts{}, err
	}
	if len(req.Servers) > 0 {
		auditor.Servers = uuidsOf(servers)
	}
	if err = auditor.Stored(ctx); err == nil {
		err = s.listAll(ctx, auditor, servers, len(req.Servers) > 0)
	}
	return auditor.Counts(), err
}

// listAll compares the servers' listings with the ledger. Without named servers it omits
// paused ones and reports suspended ones as not compared.
func (s *Service) listAll(ctx context.Context, auditor *audit.Auditor, servers []ingest.Server, named bool) error {
	lister, err := s.d.Lister(ctx)
	if err != nil {
		return err
	}
	failures := make([]string, len(servers))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(listedAtOnce)
	for i, server := range servers {
		switch {
		case !named && !server.Active:
			continue
		case !named && server.State == ingest.ServerSuspended:
			failures[i] = fmt.Sprintf("it is suspended (%s): run `stevedore server test %s`", server.LastError, server.Name)
			continue
		}
		group.Go(func() (err error) {
			failures[i], err = auditor.Listed(ctx, server, func(ctx context.Context, fn func(ingest.Observation) error) (ingest.Unread, error) {
				return lister.List(ctx, server, fn)
			})
			return err
		})
	}
	err = group.Wait()
	for i, failure := range failures {
		if failure != "" && err == nil {
			err = auditor.Unlisted(servers[i], failure)
		}
	}
	return err
}
