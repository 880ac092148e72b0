package audit_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/internal/audit"
	"stevedore/internal/ingest"
)

// signs returns the signs of source, ledger, object and notification.
func signs(s ingest.AuditSides) string {
	return s.Source.State.Sign() + s.Ledger.State.Sign() + s.Object.State.Sign() + s.Notification.State.Sign()
}

// TestADiscrepancyHasTheStateOfEachSide damages one item in each case.
func TestADiscrepancyHasTheStateOfEachSide(t *testing.T) {
	t.Parallel()
	const key = "files/004"
	for name, tc := range map[string]struct {
		damage func(w *fixture, f *ingest.File)
		want   string
		deep   bool
	}{
		"object gone":   {func(w *fixture, _ *ingest.File) { delete(w.objects, key) }, "?=-=", false},
		"no key":        {func(w *fixture, f *ingest.File) { f.ObjectKey = ""; delete(w.objects, key) }, "?!-=", false},
		"size":          {func(w *fixture, _ *ingest.File) { w.objects[key] = ingest.Object{Key: key, Size: 5, SHA256: "h4"} }, "?=!=", false},
		"metadata":      {func(w *fixture, _ *ingest.File) { w.objects[key] = ingest.Object{Key: key, Size: 4, SHA256: "x"} }, "?=!=", false},
		"bytes":         {func(w *fixture, _ *ingest.File) { w.bytes[key] = "y" }, "?=!=", true},
		"failed":        {func(_ *fixture, f *ingest.File) { f.Status = ingest.StatusError }, "?!??", false},
		"not notified":  {func(w *fixture, _ *ingest.File) { w.file(4).Events = w.file(4).Events[:7] }, "?==-", false},
		"event missing": {func(w *fixture, _ *ingest.File) { w.file(4).Events = w.file(4).Events[1:] }, "?!==", false},
		"not looked at": {func(w *fixture, _ *ingest.File) { w.broken[key] = true }, "?=!=", false},
		"stray object":  {func(w *fixture, _ *ingest.File) { w.objects["files/x"] = ingest.Object{} }, "?-+?", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newFixture(7)
			tc.damage(w, &w.file(4).File)
			var found []audit.Discrepancy
			a := w.auditor(nil)
			a.Deep, a.Report = tc.deep, func(d audit.Discrepancy) error { found = append(found, d); return nil }
			require.NoError(t, a.Stored(t.Context()))
			require.Len(t, found, 1)
			require.Equal(t, tc.want, signs(found[0].Sides), found[0])
			if name == "size" {
				require.EqualValues(t, 5, *found[0].Sides.Object.Size)
				require.EqualValues(t, 4, *found[0].Sides.Ledger.Size)
				require.Equal(t, "h4", found[0].Sides.Ledger.SHA256)
				require.Equal(t, ingest.StatusCompleted, found[0].Sides.Ledger.Status)
			}
			if name == "bytes" {
				require.Equal(t, "y", found[0].Sides.Object.SHA256, "the digest is of the bytes, not of the metadata")
			}
		})
	}
}

func TestADiscrepancyHasTheSourceEntry(t *testing.T) {
	t.Parallel()
	row := completed(1).File
	with := func(status ingest.Status) ingest.History {
		f := row
		f.Status = status
		return ingest.History{File: f}
	}
	for name, tc := range map[string]struct {
		rows []ingest.History
		want string
	}{
		"no row":     {nil, "=-??"},
		"back again": {[]ingest.History{with(ingest.StatusVanished)}, "=!??"},
		"two rows":   {[]ingest.History{with(ingest.StatusCompleted), with(ingest.StatusCompleted)}, "=+??"},
	} {
		w := newFixture(0)
		w.rows = tc.rows
		var found []audit.Discrepancy
		a := w.auditor(nil)
		a.Report = func(d audit.Discrepancy) error { found = append(found, d); return nil }
		_, err := a.Listed(t.Context(), acme, func(_ context.Context, fn func(ingest.Observation) error) (ingest.Unread, error) {
			return ingest.Unread{}, fn(shown(row))
		})
		require.NoError(t, err)
		require.Len(t, found, 1, name)
		require.Equal(t, tc.want, signs(found[0].Sides), name)
		require.EqualValues(t, 1, *found[0].Sides.Source.Size)
		require.Equal(t, now.Add(-time.Hour), found[0].Sides.Source.ModTime)
		require.NoError(t, a.Unlisted(acme, "gone"))
		require.Equal(t, "!???", signs(found[1].Sides))
	}
}
