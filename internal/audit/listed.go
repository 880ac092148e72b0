package audit

import (
	"context"
	"errors"
	"time"

	"stevedore/internal/ingest"
)

// Listed compares what a server shows with the ledger. A listing that does not
// come to its end gives the reason as failure, which is for Unlisted; an error
// is of our own side.
func (a *Auditor) Listed(ctx context.Context, server ingest.Server, list Listing) (failure string, err error) {
	l := &listed{Auditor: a, server: server, began: a.Now().Add(-clocks)}
	unread, err := list(ctx, func(o ingest.Observation) error { return l.add(ctx, o) })
	if l.broken == nil {
		// What was seen before a failure is judged all the same.
		_ = l.check(ctx)
	}
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case l.broken != nil:
		return "", l.broken
	case err != nil:
		return message(err), nil
	}
	return "", a.unread(server, unread)
}

// unread reports the folders that were not compared, because nobody knows what is in
// them.
func (a *Auditor) unread(server ingest.Server, unread ingest.Unread) error {
	for _, f := range unread.Folders {
		if err := a.tell(unseen(server.Name, f.Path).why(Wrong, "the folder was not compared: it %s", f.Reason)); err != nil {
			return err
		}
	}
	if more := unread.Count - int64(len(unread.Folders)); more > 0 {
		return a.tell(unseen(server.Name, server.RootPath).why(Wrong, "%d more folders could not be read and were not compared", more))
	}
	return nil
}

// Unlisted reports a server that could not be listed to its end: nobody knows
// what is there.
func (a *Auditor) Unlisted(server ingest.Server, reason string) error {
	return a.tell(unseen(server.Name, server.RootPath).why(Wrong, "the server could not be audited: %s", reason))
}

// listed is one listing under way.
type listed struct {
	*Auditor
	server ingest.Server
	// began is when the listing did, by the clock of the database as far as clocks agree.
	began time.Time
	batch []ingest.Observation
	// broken is what went wrong on our side, as opposed to the server's.
	broken error
}

func (l *listed) add(ctx context.Context, o ingest.Observation) error {
	if o.Ignored != "" {
		return nil // no delivery, and no row of the ledger
	}
	if l.batch = append(l.batch, o); len(l.batch) < seenBatch {
		return nil
	}
	return l.check(ctx)
}

// check judges the entries of a batch.
func (l *listed) check(ctx context.Context) error {
	l.broken = l.judge(ctx)
	l.batch = l.batch[:0]
	l.progress()
	return l.broken
}

func (l *listed) judge(ctx context.Context) error {
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
		if err := l.conclude(rules{}.source(l.source(o), rows[o.Path])); err != nil {
			return err
		}
	}
	return nil
}

// clocks is how far clocks may differ.
const clocks = 2 * time.Minute

// source is an entry as it is judged. A file is young as long as the next scan
// and the settle time may still be to come. One from the future is not, beyond
// what clocks differ: it would be young for ever.
func (l *listed) source(o ingest.Observation) Source {
	age := l.Now().Sub(o.ModTime)
	return Source{
		Server: l.server.Name, Path: o.Path, Size: o.Size, ModTime: o.ModTime, Rejected: o.Rejected,
		Listed: l.began,
		Young:  age > -clocks && age < l.server.ScanInterval+l.server.Settle+clocks,
	}
}

// message is the line of an error that is made for people.
func message(err error) string {
	var known *ingest.Error
	if errors.As(err, &known) {
		return known.Message
	}
	return err.Error()
}
