package audit_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/internal/audit"
	"stevedore/internal/ingest"
)

// fixture is a ledger and an object store in memory. TestLedgersConform and
// TestObjectStoresConform compare it with the real ones.
type fixture struct {
	mu   sync.Mutex
	rows []ingest.History
	// objects are the objects by key. bytes has the SHA-256 of contents that differ from
	// the metadata.
	objects map[string]ingest.Object
	bytes   map[string]string
	// late keys are recorded after the audit has read the rows.
	late map[string]bool
	// broken keys cannot be read. away is the error of a store that does not respond.
	broken map[string]bool
	away   error
	// reversed: objects are listed in the wrong order.
	reversed bool
	// deep counts objects whose bytes were read.
	deep atomic.Int64
	// busy is the number of running Heads, largest the largest batch of FilesSeen.
	busy, largest int
	// onHead, which may be nil, is called by each Head.
	onHead func()
	// found are the reported discrepancies.
	found []audit.Discrepancy
}

func (w *fixture) page(q ingest.HistoryQuery, ok func(ingest.File) bool) []ingest.History {
	var page []ingest.History
	for _, row := range w.rows {
		if len(page) < q.Limit && ok(row.File) && (len(q.Servers) == 0 || slices.Contains(q.Servers, row.File.ServerUUID)) {
			row.Events = slices.DeleteFunc(slices.Clone(row.Events), func(e ingest.StoredEvent) bool {
				return row.File.Status != ingest.StatusCompleted || !slices.Contains(q.Events, e.Type)
			})
			page = append(page, row)
		}
	}
	return page
}

// ended are the statuses of files without an object that are not audited.
var ended = []ingest.Status{ingest.StatusSkipped, ingest.StatusVanished, ingest.StatusSuperseded, ingest.StatusRejected}

func (w *fixture) HistoriesWithoutKey(_ context.Context, q ingest.HistoryQuery) ([]ingest.History, error) {
	slices.SortStableFunc(w.rows, func(a, b ingest.History) int { return cmp.Compare(a.File.ID, b.File.ID) })
	return w.page(q, func(f ingest.File) bool {
		return f.ObjectKey == "" && !slices.Contains(ended, f.Status) && f.ID > q.AfterID
	}), nil
}

func (w *fixture) HistoriesByKey(_ context.Context, q ingest.HistoryQuery) ([]ingest.History, error) {
	slices.SortStableFunc(w.rows, func(a, b ingest.History) int { return cmp.Compare(a.File.ObjectKey, b.File.ObjectKey) })
	q.Limit = min(q.Limit, 3) // to have ends of pages at every position
	return w.page(q, func(f ingest.File) bool { return f.ObjectKey > q.AfterKey }), nil
}

func (w *fixture) HasObjectKey(_ context.Context, key string) (bool, error) {
	has := func(row ingest.History) bool { return key != "" && row.File.ObjectKey == key }
	return w.late[key] || slices.ContainsFunc(w.rows, has), nil
}

func (w *fixture) File(_ context.Context, uuid string) (ingest.File, error) {
	for _, row := range w.rows {
		if row.File.UUID == uuid {
			return row.File, nil
		}
	}
	return ingest.File{}, ingest.Errorf(ingest.KindMissing, "no file %s", uuid)
}

func (w *fixture) FilesSeen(_ context.Context, server string, seen []ingest.Observation) ([]ingest.File, error) {
	w.largest = max(w.largest, len(seen))
	var files []ingest.File
	for _, row := range w.rows {
		f := row.File
		if slices.ContainsFunc(seen, func(o ingest.Observation) bool {
			version := f.Size == o.Size && (f.ModTime.Equal(o.ModTime) || f.Timeless()) ||
				f.ShownSize == o.Size && f.ShownTime.Equal(o.ModTime) || f.ErrorKind == ingest.KindUnsettled
			return f.ServerUUID == server && f.RemotePath == o.Path &&
				(version || f.Status == ingest.StatusDiscovered || f.Status == ingest.StatusRejected)
		}) {
			files = append(files, f)
		}
	}
	return files, nil
}

func (w *fixture) List(_ context.Context, prefix string, fn func(ingest.Object) error) error {
	var keys []string
	for key := range w.objects {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
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

func (w *fixture) Head(_ context.Context, _, key string) (ingest.Object, bool, error) {
	w.mu.Lock()
	w.busy++
	w.mu.Unlock()
	if w.onHead != nil {
		w.onHead()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy--
	if w.broken[key] {
		return ingest.Object{}, false, ingest.Errorf(ingest.KindTransient, "timeout")
	}
	object, found := w.objects[key]
	return object, found, nil
}

func (w *fixture) Digest(_ context.Context, _, key string) (ingest.Object, bool, error) {
	w.deep.Add(1)
	object, found := w.objects[key]
	if sum, other := w.bytes[key]; other {
		object.SHA256 = sum
	}
	return object, found, nil
}

func (w *fixture) Ping(context.Context) error { return w.away }

// now is the clock of these tests.
var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

var acme = ingest.Server{UUID: "s1", Name: "acme", RootPath: "/out", ScanInterval: time.Minute, Settle: 10 * time.Second}

// completed returns the row of a file that arrived exactly once.
func completed(n int) ingest.History {
	h := ingest.History{File: ingest.File{
		ID: int64(n), UUID: fmt.Sprint("u", n), ServerUUID: acme.UUID, ServerName: acme.Name, RemotePath: fmt.Sprintf("/out/%03d", n),
		Size: int64(n), ModTime: now.Add(-time.Hour), Status: ingest.StatusCompleted, Hash: fmt.Sprint("h", n),
		Bucket: "b", ObjectKey: fmt.Sprintf("files/%03d", n),
	}}
	for _, e := range allEvents {
		h.Events = append(h.Events, ingest.StoredEvent{Type: e})
	}
	return h
}

var allEvents = []ingest.EventType{
	"discovered", "settled", "download_started", "downloaded", "verified", "minio_upload_start", "minio_uploaded", "amqp_notify_sent",
}

// newFixture returns a fixture with n files that arrived exactly once.
func newFixture(n int) *fixture {
	w := &fixture{objects: map[string]ingest.Object{}, bytes: map[string]string{}, late: map[string]bool{}, broken: map[string]bool{}}
	for i := 1; i <= n; i++ {
		row := completed(i)
		w.rows = append(w.rows, row)
		w.objects[row.File.ObjectKey] = ingest.Object{Key: row.File.ObjectKey, Size: row.File.Size, SHA256: row.File.Hash}
	}
	return w
}

// file returns the row with the id n.
func (w *fixture) file(n int) *ingest.History {
	for i := range w.rows {
		if w.rows[i].File.ID == int64(n) {
			return &w.rows[i]
		}
	}
	panic("no such file")
}

// stored audits ledger and store; change may be nil.
func (w *fixture) stored(t *testing.T, change func(*audit.Auditor)) (lines []string, sum ingest.AuditCounts, err error) {
	t.Helper()
	a := w.auditor(&lines)
	if change != nil {
		change(a)
	}
	err = a.Stored(t.Context())
	slices.Sort(lines)
	return lines, a.Counts(), err
}

func (w *fixture) auditor(lines *[]string) *audit.Auditor {
	return &audit.Auditor{Ledger: w, Objects: w, Now: func() time.Time { return now }, Report: func(d audit.Discrepancy) error {
		w.found = append(w.found, d)
		*lines = append(*lines, d.String())
		return nil
	}}
}

// listed audits entries of acme.
func (w *fixture) listed(t *testing.T, entries ...ingest.Observation) (lines []string, sum ingest.AuditCounts) {
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

// shown returns the entry of a row's version.
func shown(f ingest.File) ingest.Observation {
	return ingest.Observation{Path: f.RemotePath, Size: f.Size, ModTime: f.ModTime}
}

// signs returns the signs of source, ledger, object and notification.
func signs(s ingest.AuditSides) string {
	return s.Source.State.Sign() + s.Ledger.State.Sign() + s.Object.State.Sign() + s.Notification.State.Sign()
}
