package audit

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"stevedore/internal/ingest"
)

const (
	// rowPage is how many rows are in memory at once; seenBatch how many
	// entries of a server are looked up at once.
	rowPage   = 500
	seenBatch = 500
	// looksAtOnce bounds the objects that are looked at or read side by side.
	looksAtOnce = 16
	// objectPrefix is where all our objects are; what others keep elsewhere in
	// the bucket is theirs.
	objectPrefix = "files/"
)

// Ledger is the ledger as an audit reads it. See package store.
type Ledger interface {
	// HistoriesWithoutKey and HistoriesByKey return the rows without an object
	// key by id, and those with one in byte order of the keys.
	HistoriesWithoutKey(ctx context.Context, q ingest.HistoryQuery) ([]ingest.History, error)
	HistoriesByKey(ctx context.Context, q ingest.HistoryQuery) ([]ingest.History, error)
	// HasObjectKey reports whether any row has the key now.
	HasObjectKey(ctx context.Context, key string) (bool, error)
	// File returns the file, or KindMissing.
	File(ctx context.Context, fileUUID string) (ingest.File, error)
	// FilesSeen returns the rows that are the observed versions, settle under
	// their paths or reject them.
	FilesSeen(ctx context.Context, serverUUID string, seen []ingest.Observation) ([]ingest.File, error)
}

// Objects is the object store as an audit reads it. See package objstore.
type Objects interface {
	// List goes through the objects under the prefix in byte order of keys.
	List(ctx context.Context, prefix string, fn func(ingest.Object) error) error
	// Head returns what the metadata says, Digest what the bytes are.
	Head(ctx context.Context, bucket, key string) (object ingest.Object, found bool, err error)
	Digest(ctx context.Context, bucket, key string) (object ingest.Object, found bool, err error)
	// Ping reports whether the store answers at all.
	Ping(ctx context.Context) error
}

// Listing goes through what a server shows and returns which folders it
// could not read. See package sftp.
type Listing func(ctx context.Context, fn func(ingest.Observation) error) (ingest.Unread, error)

// Auditor compares a system that goes on working. Memory does not grow with
// the number of files: rows, objects and entries are streamed. What may have
// changed between the reading of two of them is looked at once more before it
// counts as a difference.
type Auditor struct {
	Ledger  Ledger
	Objects Objects
	// Servers, when not empty, are the uuids whose files are judged.
	Servers []string
	// Deep reads every object again.
	Deep bool
	// Now is the clock that the age of files is measured with.
	Now func() time.Time
	// Report takes each difference; it is never called concurrently. Its error
	// ends the audit.
	Report func(Difference) error
	// Progress, may be nil, is called with the counts so far, like Report.
	Progress func(ingest.AuditCounts)

	mu  sync.Mutex
	sum ingest.AuditCounts
}

// Counts returns the counts so far.
func (a *Auditor) Counts() ingest.AuditCounts {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.sum
}

// count changes the counts.
func (a *Auditor) count(change func(*ingest.AuditCounts)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(&a.sum)
}

func (a *Auditor) tell(found ...Difference) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, d := range found {
		a.sum.Count(d.Mark)
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
	a.Progress(a.sum)
}

// conclude counts a verdict and reports its differences.
func (a *Auditor) conclude(v verdict) error {
	if v.pending {
		a.count(func(s *ingest.AuditCounts) { s.Pending++ })
	}
	return a.tell(v.differences...)
}

// Stored compares the ledger with the object store. Objects without a row are
// looked for only when the files of all servers are judged: of a stray object
// nobody can say whose it is.
func (a *Auditor) Stored(ctx context.Context) error {
	looks, ctx := errgroup.WithContext(ctx)
	looks.SetLimit(looksAtOnce)
	row := func(r Row) error {
		a.row(ctx, looks, r)
		return ctx.Err()
	}
	// Rows without a key come first: one that gets its key meanwhile is judged
	// twice, the other way round it would be missed.
	_, err := rowsBefore(ctx, &pages{fetch: a.page(ctx, a.Ledger.HistoriesWithoutKey)}, nil, row)
	if err == nil {
		list := func(fn func(ingest.Object) error) error { return a.Objects.List(ctx, objectPrefix, fn) }
		if len(a.Servers) > 0 {
			list = func(func(ingest.Object) error) error { return nil }
		}
		err = merge(ctx, &pages{fetch: a.page(ctx, a.Ledger.HistoriesByKey)}, a.counted(list), row, func(o ingest.Object) error {
			return a.extra(ctx, o)
		})
	}
	// A look that failed has cancelled the rest and is the reason.
	if failed := looks.Wait(); failed != nil {
		return failed
	}
	return err
}

func (a *Auditor) counted(list func(func(ingest.Object) error) error) func(func(ingest.Object) error) error {
	return func(fn func(ingest.Object) error) error {
		return list(func(o ingest.Object) error {
			a.count(func(s *ingest.AuditCounts) { s.Objects++ })
			return fn(o)
		})
	}
}

// page fetches rows after the last one.
func (a *Auditor) page(ctx context.Context, read func(context.Context, ingest.HistoryQuery) ([]ingest.History, error)) func(*Row) ([]Row, error) {
	return func(last *Row) ([]Row, error) {
		a.progress()
		q := ingest.HistoryQuery{Servers: a.Servers, Events: once, Limit: rowPage}
		if last != nil {
			q.AfterKey, q.AfterID = last.File.ObjectKey, last.File.ID
		}
		return read(ctx, q)
	}
}

// row judges a row; one that needs a look at the store among the looks.
func (a *Auditor) row(ctx context.Context, looks *errgroup.Group, r Row) {
	a.count(func(s *ingest.AuditCounts) { s.Files++ })
	looks.Go(func() error {
		if !mayHaveObject(r.File) {
			return a.conclude(rules{}.file(r, nil))
		}
		objects, err := a.look(ctx, r.File)
		if err == nil {
			return a.conclude(rules{}.file(r, objects))
		}
		// The whole store being away ends the audit, one object is a difference.
		if away := a.Objects.Ping(ctx); away != nil {
			return away
		}
		sides := rules{}.sides(r, nil)
		sides.Object.State = ingest.SideWrong
		return a.tell(beside(sides, of(r.File).why(Wrong, "object %s could not be looked at: %s", r.File.ObjectKey, message(err)))...)
	})
}

// look returns the object of a file, none if there is none.
func (a *Auditor) look(ctx context.Context, f ingest.File) ([]StoredObject, error) {
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

// extra reports an object that no row names, unless the row came meanwhile. Its
// key has the uuid of its file: one in flight is stored before the ledger has the
// key, and of one that has ended the report says which it is.
func (a *Auditor) extra(ctx context.Context, o ingest.Object) error {
	if has, err := a.Ledger.HasObjectKey(ctx, o.Key); err != nil || has {
		return err
	}
	uuid, ours := ingest.FileOfKey(o.Key)
	if !ours {
		return a.tell(extraObject(o.Key))
	}
	file, err := a.Ledger.File(ctx, uuid)
	switch {
	case ingest.IsKind(err, ingest.KindMissing), ingest.IsKind(err, ingest.KindInvalid):
		return a.tell(extraObject(o.Key))
	case err != nil:
		return err
	case !file.Status.Terminal() && file.Status != ingest.StatusError:
		return nil // its row is pending
	default:
		return a.tell(extraOf(file, o.Key))
	}
}
