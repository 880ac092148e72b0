package audit_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/internal/audit"
	"stevedore/internal/ingest"
)

// world is a ledger and an object store in memory.
type world struct {
	mu   sync.Mutex
	rows []ingest.History
	// objects are by key; bytes holds the SHA-256 of the content where it is
	// not what the metadata says.
	objects map[string]ingest.Object
	bytes   map[string]string
	// late keys came to the ledger after the audit had passed.
	late map[string]bool
	// broken keys cannot be looked at; away says that the store is gone.
	broken map[string]bool
	away   error
	// reversed makes the listing come in the wrong order.
	reversed bool
	// deep counts objects that were read.
	deep atomic.Int64
	// busy is how many looks there are at this moment, largest the longest list
	// of entries that was looked up at once.
	busy, largest int
	// looking, may be nil, is called by each look.
	looking func()
}

func (w *world) page(q ingest.HistoryQuery, ok func(ingest.File) bool) []ingest.History {
	var page []ingest.History
	for _, row := range w.rows {
		if len(page) < q.Limit && ok(row.File) && (len(q.Servers) == 0 || slices.Contains(q.Servers, row.File.ServerUUID)) {
			page = append(page, row)
		}
	}
	return page
}

func (w *world) HistoriesWithoutKey(_ context.Context, q ingest.HistoryQuery) ([]ingest.History, error) {
	return w.page(q, func(f ingest.File) bool { return f.ObjectKey == "" && f.ID > q.AfterID }), nil
}

func (w *world) HistoriesByKey(_ context.Context, q ingest.HistoryQuery) ([]ingest.History, error) {
	slices.SortFunc(w.rows, func(a, b ingest.History) int { return cmp.Compare(a.File.ObjectKey, b.File.ObjectKey) })
	q.Limit = min(q.Limit, 3) // so that pages end in every place
	return w.page(q, func(f ingest.File) bool { return f.ObjectKey > q.AfterKey }), nil
}

func (w *world) HasObjectKey(_ context.Context, key string) (bool, error) { return w.late[key], nil }

func (w *world) File(_ context.Context, uuid string) (ingest.File, error) {
	for _, row := range w.rows {
		if row.File.UUID == uuid {
			return row.File, nil
		}
	}
	return ingest.File{}, ingest.Errorf(ingest.KindMissing, "no file %s", uuid)
}

func (w *world) FilesSeen(_ context.Context, server string, seen []ingest.Observation) ([]ingest.File, error) {
	w.largest = max(w.largest, len(seen))
	var files []ingest.File
	for _, o := range seen {
		for _, row := range w.rows {
			f := row.File
			version := f.Size == o.Size && (f.ModTime.Equal(o.ModTime) || f.Timeless()) ||
				f.ShownSize == o.Size && f.ShownTime.Equal(o.ModTime) || f.ErrorKind == ingest.KindUnsettled
			if f.ServerUUID == server && f.RemotePath == o.Path &&
				(version || f.Status == ingest.StatusDiscovered || f.Status == ingest.StatusRejected) {
				files = append(files, f)
			}
		}
	}
	return files, nil
}

func (w *world) List(_ context.Context, _ string, fn func(ingest.Object) error) error {
	keys := make([]string, 0, len(w.objects))
	for key := range w.objects {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	if w.reversed {
		slices.Reverse(keys)
	}
	for _, key := range keys {
		if err := fn(ingest.Object{Key: key}); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) Head(_ context.Context, _, key string) (ingest.Object, bool, error) {
	w.mu.Lock()
	w.busy++
	w.mu.Unlock()
	if w.looking != nil {
		w.looking()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy--
	if w.broken[key] {
		return ingest.Object{}, false, ingest.Errorf(ingest.KindTransient, "the store hiccuped")
	}
	object, found := w.objects[key]
	return object, found, nil
}

func (w *world) Digest(_ context.Context, _, key string) (ingest.Object, bool, error) {
	w.deep.Add(1)
	object, found := w.objects[key]
	if sum, other := w.bytes[key]; other {
		object.SHA256 = sum
	}
	return object, found, nil
}

func (w *world) Ping(context.Context) error { return w.away }

// now is when these tests play.
var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

var acme = ingest.Server{UUID: "s1", Name: "acme", RootPath: "/out", ScanInterval: time.Minute, Settle: 10 * time.Second}

// completed is a row as it is when all went well.
func completed(n int) ingest.History {
	h := ingest.History{File: ingest.File{
		ID: int64(n), UUID: fmt.Sprint("u", n), ServerUUID: acme.UUID, ServerName: acme.Name, RemotePath: fmt.Sprintf("/out/%03d", n),
		Size: int64(n), ModTime: now.Add(-time.Hour), Status: ingest.StatusCompleted, Hash: fmt.Sprint("h", n),
		Bucket: "b", ObjectKey: fmt.Sprintf("files/%03d", n),
	}}
	for _, e := range way {
		h.Events = append(h.Events, ingest.StoredEvent{Type: e})
	}
	return h
}

var way = []ingest.EventType{
	"discovered", "settled", "download_started", "downloaded", "verified", "minio_upload_start", "minio_uploaded", "amqp_notify_sent",
}

// newWorld is one with n files that arrived exactly once.
func newWorld(n int) *world {
	w := &world{objects: map[string]ingest.Object{}, bytes: map[string]string{}, late: map[string]bool{}, broken: map[string]bool{}}
	for i := 1; i <= n; i++ {
		row := completed(i)
		w.rows = append(w.rows, row)
		w.objects[row.File.ObjectKey] = ingest.Object{Key: row.File.ObjectKey, Size: row.File.Size, SHA256: row.File.Hash}
	}
	return w
}

// file returns the row to be spoilt.
func (w *world) file(n int) *ingest.History {
	for i := range w.rows {
		if w.rows[i].File.ID == int64(n) {
			return &w.rows[i]
		}
	}
	panic("no such file")
}

// stored audits ledger and store; change may be nil.
func (w *world) stored(t *testing.T, change func(*audit.Auditor)) (lines []string, sum ingest.AuditCounts, err error) {
	t.Helper()
	a := w.auditor(&lines)
	if change != nil {
		change(a)
	}
	err = a.Stored(t.Context())
	slices.Sort(lines)
	return lines, a.Counts(), err
}

func (w *world) auditor(lines *[]string) *audit.Auditor {
	return &audit.Auditor{Ledger: w, Objects: w, Now: func() time.Time { return now }, Report: func(d audit.Difference) error {
		*lines = append(*lines, d.String())
		return nil
	}}
}

// listed audits what acme shows.
func (w *world) listed(t *testing.T, entries ...ingest.Observation) (lines []string, sum ingest.AuditCounts) {
	t.Helper()
	a := w.auditor(&lines)
	failure, err := a.Listed(t.Context(), acme, func(_ context.Context, fn func(ingest.Observation) error) (ingest.Unread, error) {
		for _, entry := range entries {
			if err := fn(entry); err != nil {
				return ingest.Unread{}, err
			}
		}
		return ingest.Unread{}, nil
	})
	require.NoError(t, err)
	require.Empty(t, failure)
	return lines, a.Counts()
}

// shown is the entry that a server shows for a row's version.
func shown(f ingest.File) ingest.Observation {
	return ingest.Observation{Path: f.RemotePath, Size: f.Size, ModTime: f.ModTime}
}
