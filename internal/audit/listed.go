package audit

import (
	"context"
	"time"

	"stevedore/internal/ingest"
)

// Listed compares the entries of a server with the ledger. If the listing is incomplete
// because of the server, it returns the reason as failure, for Unlisted. It returns an
// error if the ledger or Report fails.
func (a *Auditor) Listed(ctx context.Context, server ingest.Server, list Listing) (failure string, err error) {
	l := &listed{Auditor: a, server: server, began: a.Now().Add(-clockSkew)}
	unread, err := list(ctx, func(o ingest.Observation) error { return l.add(ctx, o) })
	if l.err == nil {
		_ = l.checkBatch(ctx) // also the entries listed before a failure
	}
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case l.err != nil:
		return "", l.err
	case err != nil:
		return ingest.Message(err), nil
	}
	return "", a.unread(server, unread)
}

// unread reports the folders that could not be read and so were not compared.
func (a *Auditor) unread(server ingest.Server, unread ingest.Unread) error {
	for _, f := range unread.Folders {
		if err := a.report(pathSubject(server.Name, f.Path).discrepancy(NotAudited, "the folder was not compared: it %s", f.Reason)); err != nil {
			return err
		}
	}
	if more := unread.Count - int64(len(unread.Folders)); more > 0 {
		return a.report(pathSubject(server.Name, server.RootPath).discrepancy(NotAudited, "%d more folders could not be read and were not compared", more))
	}
	return nil
}

// Unlisted reports a server that could not be listed completely.
func (a *Auditor) Unlisted(server ingest.Server, reason string) error {
	return a.report(pathSubject(server.Name, server.RootPath).discrepancy(NotAudited, "the server could not be audited: %s", reason))
}

// listed is the state of one listing.
type listed struct {
	*Auditor
	server ingest.Server
	// began is the start of the listing by the database's clock, at the earliest.
	began time.Time
	batch []ingest.Observation
	// err is the first error of the ledger or Report.
	err error
}

func (l *listed) add(ctx context.Context, o ingest.Observation) error {
	if o.Ignored != "" {
		return nil // not a delivery, so it has no row
	}
	if l.batch = append(l.batch, o); len(l.batch) < seenBatch {
		return nil
	}
	return l.checkBatch(ctx)
}

// checkBatch checks the entries of the batch and empties it.
func (l *listed) checkBatch(ctx context.Context) error {
	l.err = l.checkEntries(ctx)
	l.batch = l.batch[:0]
	l.progress()
	return l.err
}

func (l *listed) checkEntries(ctx context.Context) error {
	l.count(func(s *ingest.AuditCounts) { s.Sources += int64(len(l.batch)) })
	files, err := l.Ledger.FilesSeen(ctx, l.server.UUID, l.batch)
	if err != nil {
		return err
	}
	rows := make(map[string][]ingest.File, len(files))
	for _, f := range files {
		rows[f.RemotePath] = append(rows[f.RemotePath], f)
	}
	for _, o := range l.batch {
		if err := l.record(checker{}.source(l.source(o), rows[o.Path])); err != nil {
			return err
		}
	}
	return nil
}

// clockSkew is the largest tolerated difference between clocks.
const clockSkew = 2 * time.Minute

// source converts an entry. A file is young until the next scan and the settle time have
// passed. A file with a time beyond clockSkew in the future is not young, because it
// would stay so.
func (l *listed) source(o ingest.Observation) Source {
	age := l.Now().Sub(o.ModTime)
	return Source{
		Server: l.server.Name, Path: o.Path, Size: o.Size, ModTime: o.ModTime, Rejected: o.Rejected,
		Listed: l.began,
		Young:  age > -clockSkew && age < l.server.ScanInterval+l.server.Settle+clockSkew,
	}
}
