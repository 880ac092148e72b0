package admin

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"stevedore/internal/ingest"
	"stevedore/internal/oracle"
)

// listedAtOnce bounds the servers that are listed side by side, so that one
// that does not answer holds up few others.
const listedAtOnce = 4

// AuditRequest says what is compared.
type AuditRequest struct {
	// Servers restricts the audit to these names or uuids; empty means all.
	Servers []string
	// Deep reads every object again instead of trusting its metadata.
	Deep bool
	// Progress, may be nil, is called with the counts so far, often.
	Progress func(oracle.Summary)
}

// AuditSummary says what was compared and how it ended.
type AuditSummary struct {
	oracle.Summary
	// Servers is how many were to be listed.
	Servers int
	// Unlisted are those that could not be, or were not to be.
	Unlisted []UnlistedServer
}

// UnlistedServer is a server whose files were compared with the object store,
// but not with what is on the server.
type UnlistedServer struct {
	Server ingest.Server
	// Reason is one line.
	Reason string
	// Paused says that an operator wants it so; otherwise it is a difference.
	Paused bool
}

// Audit compares what servers show with the ledger, and the ledger with the
// object store and with the announcements on record, and calls fn for each
// difference, never concurrently. It changes nothing and may run at any time:
// what is on its way is pending and no difference. Memory does not grow with
// the number of files, except that a server's listing holds one folder.
//
// The summary is valid beside an error, too, with what was compared until then.
// A server that does not exist is an ErrNotFound.
func (a *Admin) Audit(ctx context.Context, req AuditRequest, fn func(oracle.Difference) error) (AuditSummary, error) {
	servers, err := a.audited(ctx, req.Servers)
	if err != nil {
		return AuditSummary{}, err
	}
	auditor := &oracle.Auditor{Deep: req.Deep, Now: a.d.Now, Report: fn, Progress: req.Progress}
	if auditor.Ledger, err = a.d.Record(ctx); err != nil {
		return AuditSummary{}, err
	}
	if auditor.Objects, err = a.d.Objects(ctx); err != nil {
		return AuditSummary{}, err
	}
	if len(req.Servers) > 0 {
		for _, server := range servers {
			auditor.Servers = append(auditor.Servers, server.UUID)
		}
	}
	summary := AuditSummary{Servers: len(servers)}
	if err = auditor.Stored(ctx); err == nil {
		summary.Unlisted, err = a.listAll(ctx, auditor, servers, len(req.Servers) > 0)
	}
	summary.Summary = auditor.Summary()
	return summary, err
}

// audited returns the servers that were asked for, each once.
func (a *Admin) audited(ctx context.Context, names []string) (servers []ingest.Server, err error) {
	if len(names) == 0 {
		return a.ListServers(ctx)
	}
	for _, name := range names {
		server, err := a.ShowServer(ctx, name)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(servers, func(s ingest.Server) bool { return s.UUID == server.UUID }) {
			servers = append(servers, server)
		}
	}
	return servers, nil
}

// listAll compares what the servers show with the ledger. A server that is
// paused or suspended is logged in to only when it was named.
func (a *Admin) listAll(ctx context.Context, auditor *oracle.Auditor, servers []ingest.Server, named bool) ([]UnlistedServer, error) {
	lister, err := a.d.Lister(ctx)
	if err != nil {
		return nil, err
	}
	unlisted := make([]*UnlistedServer, len(servers))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(listedAtOnce)
	for i, server := range servers {
		if unlisted[i] = LeftOut(server, named); unlisted[i] != nil {
			continue
		}
		group.Go(func() error {
			failure, err := auditor.Listed(ctx, server, func(ctx context.Context, fn func(ingest.Observation) error) (ingest.Unread, error) {
				return lister.List(ctx, server, fn)
			})
			if failure != "" {
				unlisted[i] = &UnlistedServer{Server: server, Reason: failure}
			}
			return err
		})
	}
	err = group.Wait()
	var all []UnlistedServer
	for _, u := range unlisted {
		if u == nil {
			continue
		}
		all = append(all, *u)
		if !u.Paused && err == nil {
			err = auditor.Unlisted(u.Server, u.Reason)
		}
	}
	return all, err
}

// LeftOut says why an audit does not list a server, nil if it does; named says
// that the audit names its servers.
func LeftOut(server ingest.Server, named bool) *UnlistedServer {
	switch {
	case named:
		return nil
	case !server.Active:
		return &UnlistedServer{Server: server, Reason: "it is paused", Paused: true}
	case server.State == ingest.ServerSuspended:
		return &UnlistedServer{Server: server, Reason: fmt.Sprintf("it is suspended (%s): run `stevedore server test %s`", server.LastError, server.Name)}
	default:
		return nil
	}
}
