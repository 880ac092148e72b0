package audit

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"stevedore/internal/ingest"
)

const (
	// rowPage is the page size for reading rows, seenBatch the number of entries of a
	// server looked up in one query.
	rowPage   = 500
	seenBatch = 500
	// maxObjectReads bounds the objects read concurrently.
	maxObjectReads = 16
	// objectPrefix is the prefix of stevedore's object keys. Other objects in the
	// bucket are not audited.
	objectPrefix = "files/"
)

// Ledger reads the ledger for an audit. See package store.
type Ledger interface {
	// HistoriesWithoutKey and HistoriesByKey return the rows without an object
	// key by id, and those with one in byte order of the keys.
	HistoriesWithoutKey(ctx context.Context, q ingest.HistoryQuery) ([]ingest.History, error)
	HistoriesByKey(ctx context.Context, q ingest.HistoryQuery) ([]ingest.History, error)
	// HasObjectKey reports whether a row has the key.
	HasObjectKey(ctx context.Context, key string) (bool, error)
	// File returns the file, or KindMissing.
	File(ctx context.Context, fileUUID string) (ingest.File, error)
	// FilesSeen returns the rows of the observed paths that are the observed versions,
	// are settling or are rejected.
	FilesSeen(ctx context.Context, serverUUID string, seen []ingest.Observation) ([]ingest.File, error)
}

// Objects reads the object store for an audit. See package objstore.
type Objects interface {
	// List calls fn for each object under the prefix, in byte order of keys.
	List(ctx context.Context, prefix string, fn func(ingest.Object) error) error
	// Head returns the object's metadata. Digest also reads its bytes and computes
	// SHA256 from them.
	Head(ctx context.Context, bucket, key string) (object ingest.Object, found bool, err error)
	Digest(ctx context.Context, bucket, key string) (object ingest.Object, found bool, err error)
	// Ping returns an error if the store does not respond.
	Ping(ctx context.Context) error
}

// Listing calls fn for each entry of a server and returns the folders that it could not
// read. See package sftp.
type Listing func(ctx context.Context, fn func(ingest.Observation) error) (ingest.Unread, error)

// Auditor audits a running system. It streams rows, objects and entries, so its memory
// does not grow with the number of files. An item that may have changed between two
// reads is read again before it counts as a discrepancy.
type Auditor struct {
	Ledger  Ledger
	Objects Objects
	// Servers restricts the audit to the files of these server uuids; empty means all.
	Servers []string
	// Deep reads the bytes of every object.
	Deep bool
	// Now is the clock for the age of files.
	Now func() time.Time
	// Report is called with each discrepancy, never concurrently. Its error ends the
	// audit.
	Report func(Discrepancy) error
	// Progress, which may be nil, is called with the counts so far, never concurrently
	// with Report.
	Progress func(ingest.AuditCounts)

	mu     sync.Mutex // guards counts and the calls of Report and Progress
	counts ingest.AuditCounts
}

// Counts returns the counts so far. It is safe for concurrent use.
func (a *Auditor) Counts() ingest.AuditCounts {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.counts
}

// count changes the counts.
func (a *Auditor) count(change func(*ingest.AuditCounts)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(&a.counts)
}

// report counts and reports discrepancies.
func (a *Auditor) report(found ...Discrepancy) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, d := range found {
		a.counts.Count(d.Mark)
		if err := a.Report(d); err != nil {
			return err
		}
	}
	return nil
}

func (a *Auditor) progress() {
	if a.Progress == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.Progress(a.counts)
}

// record counts a result and reports its discrepancies.
func (a *Auditor) record(r result) error {
	if r.pending {
		a.count(func(s *ingest.AuditCounts) { s.Pending++ })
	}
	return a.report(r.discrepancies...)
}

// Stored compares the ledger with the object store. Objects without a row are reported
// only without a restriction to servers, because their server is unknown.
func (a *Auditor) Stored(ctx context.Context) error {
	checks, ctx := errgroup.WithContext(ctx)
	checks.SetLimit(maxObjectReads)
	row := func(r Row) error {
		a.row(ctx, checks, r)
		return ctx.Err()
	}
	// Rows without a key come first: a row that receives its key meanwhile is checked
	// twice. In the other order it would be missed.
	_, err := rowsBefore(ctx, &pages{fetch: a.page(ctx, a.Ledger.HistoriesWithoutKey)}, nil, row)
	if err == nil {
		list := func(fn func(ingest.Object) error) error { return a.Objects.List(ctx, objectPrefix, fn) }
		if len(a.Servers) > 0 {
			list = func(func(ingest.Object) error) error { return nil }
		}
		err = merge(ctx, &pages{fetch: a.page(ctx, a.Ledger.HistoriesByKey)}, a.counted(list), row, func(o ingest.Object) error {
			return a.withoutRow(ctx, o)
		})
	}
	// A failed check cancels the context, so its error is the cause of the other one.
	if failed := checks.Wait(); failed != nil {
		return failed
	}
	return err
}

// counted counts the objects of a list.
func (a *Auditor) counted(list func(func(ingest.Object) error) error) func(func(ingest.Object) error) error {
	return func(fn func(ingest.Object) error) error {
		return list(func(o ingest.Object) error {
			a.count(func(s *ingest.AuditCounts) { s.Objects++ })
			return fn(o)
		})
	}
}

// page returns a function that reads the page of rows after the last one.
func (a *Auditor) page(ctx context.Context, read func(context.Context, ingest.HistoryQuery) ([]ingest.History, error)) func(*Row) ([]Row, error) {
	return func(last *Row) ([]Row, error) {
		a.progress()
		q := ingest.HistoryQuery{Servers: a.Servers, Events: usualOrder, Limit: rowPage}
		if last != nil {
			q.AfterKey, q.AfterID = last.File.ObjectKey, last.File.ID
		}
		return read(ctx, q)
	}
}

// row checks a row with its object. An object that cannot be read is a discrepancy; if
// the store does not respond, the audit ends.
func (a *Auditor) row(ctx context.Context, checks *errgroup.Group, r Row) {
	a.count(func(s *ingest.AuditCounts) { s.Files++ })
	checks.Go(func() error {
		if !mayHaveObject(r.File) {
			return a.record(checker{}.file(r, nil))
		}
		objects, err := a.object(ctx, r.File)
		if err == nil {
			return a.record(checker{}.file(r, objects))
		}
		if down := a.Objects.Ping(ctx); down != nil {
			return down
		}
		sides := checker{}.sides(r, nil)
		sides.Object.State = ingest.SideUnknown
		return a.report(withSides(sides, fileSubject(r.File).discrepancy(NotAudited, "object %s could not be read: %s", r.File.ObjectKey, ingest.Message(err)))...)
	})
}

// object returns the object of a file; empty if it does not exist.
func (a *Auditor) object(ctx context.Context, f ingest.File) ([]StoredObject, error) {
	head, found, err := a.Objects.Head(ctx, f.Bucket, f.ObjectKey)
	if err != nil || !found {
		return nil, err
	}
	object := StoredObject{Key: head.Key, Size: head.Size, MetaSHA256: head.SHA256, Checksum: head.Checksum}
	if a.Deep {
		read, found, err := a.Objects.Digest(ctx, f.Bucket, f.ObjectKey)
		if err != nil || !found {
			return nil, err
		}
		object.SHA256 = read.SHA256
	}
	a.count(func(s *ingest.AuditCounts) { s.Bytes += object.Size })
	return []StoredObject{object}, nil
}

// withoutRow reports an object without a row, unless a row has its key by now. The key
// contains the uuid of a file: a file in flight is stored before its row has the key,
// and a file that has ended is named in the report.
func (a *Auditor) withoutRow(ctx context.Context, o ingest.Object) error {
	if has, err := a.Ledger.HasObjectKey(ctx, o.Key); err != nil || has {
		return err
	}
	uuid, ours := ingest.FileOfKey(o.Key)
	if !ours {
		return a.report(objectWithoutRow(o.Key))
	}
	file, err := a.Ledger.File(ctx, uuid)
	switch {
	case ingest.IsKind(err, ingest.KindMissing), ingest.IsKind(err, ingest.KindInvalid):
		return a.report(objectWithoutRow(o.Key))
	case err != nil:
		return err
	case !file.Status.Terminal() && file.Status != ingest.StatusError:
		return nil // its row is pending
	default:
		return a.report(objectOfEndedFile(file, o.Key))
	}
}
