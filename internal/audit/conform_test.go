package audit_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/internal/audit"
	"stevedore/internal/ingest"
	"stevedore/internal/objstore"
	"stevedore/internal/store"
	"stevedore/internal/test/services"
)

// conformRows are the rows of the suite, in order of id. A file is 1 byte, its key the object
// key of a completed one.
var conformRows = []struct {
	server, path string
	status       ingest.Status
	key          string
}{
	{"acme", "/b", ingest.StatusCompleted, "files/b"},
	{"acme", "/B", ingest.StatusCompleted, "files/B"},
	{"acme", "/ready", ingest.StatusReady, ""},
	{"acme", "/skipped", ingest.StatusSkipped, ""},
	{"globex", "/c", ingest.StatusCompleted, "files/c"},
	{"globex", "/settling", ingest.StatusDiscovered, ""},
}

// conformUUIDs are the servers' uuids.
var conformUUIDs = map[string]string{"acme": "11111111-2222-4333-8444-000000000001", "globex": "11111111-2222-4333-8444-000000000002"}

func (w *fixture) addConformRows() {
	for i, r := range conformRows {
		row := completed(i + 1)
		row.File.ServerUUID, row.File.RemotePath, row.File.Size = conformUUIDs[r.server], r.path, 1
		row.File.Status, row.File.ObjectKey = r.status, r.key
		w.rows = append(w.rows, row)
	}
}

func openStore(t *testing.T) audit.Ledger {
	ledger, err := store.New(t.Context(), store.Config{DatabaseURL: services.Database(t), MaxConns: 2})
	require.NoError(t, err)
	t.Cleanup(ledger.Close)
	ctx := t.Context()
	for name, uuid := range conformUUIDs {
		_, err := ledger.AddServer(ctx, ingest.Server{UUID: uuid, Name: name, Host: "h", Username: "u", Active: true})
		require.NoError(t, err)
	}
	for _, r := range conformRows {
		_, err := ledger.Observe(ctx, conformUUIDs[r.server], "manual", []ingest.Observation{{Path: r.path, Size: 1, ModTime: now.Add(-time.Hour)}})
		require.NoError(t, err)
		if r.status == ingest.StatusDiscovered {
			continue
		}
		_, _, err = ledger.Promote(ctx, ingest.Server{UUID: conformUUIDs[r.server]})
		require.NoError(t, err)
		files, err := ledger.Files(ctx, ingest.FileFilter{Order: ingest.OrderNewest, Limit: 1})
		require.NoError(t, err)
		apply := func(change ingest.Change) {
			claimed, err := ledger.Claim(ctx, files[0].UUID)
			require.NoError(t, err)
			change.Fence = claimed.Fence
			require.NoError(t, ledger.Apply(ctx, change))
		}
		switch f := files[0]; r.status {
		case ingest.StatusSkipped:
			apply(ingest.Change{FileUUID: f.UUID, To: r.status})
		case ingest.StatusCompleted:
			apply(ingest.Started(f, ingest.ModeMemory, 0, ""))
			apply(ingest.Transferred(f, ingest.Fetched{Mode: ingest.ModeMemory, SHA256: "aa"}, "transfer", ingest.Object{Bucket: "b", Key: r.key, ETag: "e"}))
			apply(ingest.Completed(f, ingest.Receipt{MessageID: "m"}, false))
		}
	}
	return ledger
}

// TestLedgersConform runs one suite on PostgreSQL and on fixture.
func TestLedgersConform(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*testing.T) audit.Ledger{
		"PostgreSQL": openStore,
		"fixture": func(*testing.T) audit.Ledger {
			w := newFixture(0)
			w.addConformRows()
			return w
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ledger := open(t)
			byPath := conformPages(t, ledger)
			conformLookups(t, ledger, byPath)
			conformSeen(t, ledger)
		})
	}
}

// conformPages checks pages and events. It returns the files by path.
func conformPages(t *testing.T, ledger audit.Ledger) map[string]ingest.File {
	acme, byPath := []string{conformUUIDs["acme"]}, map[string]ingest.File{}
	afterReady := int64(0)
	for _, page := range []struct {
		withKey  bool
		servers  []string
		afterKey string
		limit    int
		want     []string
	}{
		{true, nil, "", 3, []string{"/B", "/b", "/c"}},
		{true, nil, "files/B", 1, []string{"/b"}},
		{true, acme, "", 3, []string{"/B", "/b"}},
		{true, acme, "files/b", 3, nil},
		{false, acme, "", 3, []string{"/ready"}},
		{false, nil, "", 1, []string{"/ready"}},
		{false, nil, "", 3, []string{"/settling"}}, // after /ready
	} {
		q := ingest.HistoryQuery{Servers: page.servers, AfterKey: page.afterKey, AfterID: afterReady, Limit: page.limit, Events: []ingest.EventType{ingest.EventNotified, ingest.EventDownloaded}}
		fetch := ledger.HistoriesWithoutKey
		if page.withKey {
			fetch = ledger.HistoriesByKey
		}
		rows, err := fetch(t.Context(), q)
		require.NoError(t, err)
		var paths []string
		for _, row := range rows {
			paths, byPath[row.File.RemotePath] = append(paths, row.File.RemotePath), row.File
			var events []ingest.EventType
			for _, e := range row.Events {
				events = append(events, e.Type)
			}
			if row.File.Status == ingest.StatusCompleted {
				require.Equal(t, []ingest.EventType{ingest.EventDownloaded, ingest.EventNotified}, events, "in the order of recording")
			} else {
				require.Empty(t, events)
			}
		}
		require.Equal(t, page.want, paths, "%+v", page)
		if !page.withKey && page.servers == nil {
			afterReady = rows[0].File.ID
		}
	}
	return byPath
}

func conformLookups(t *testing.T, ledger audit.Ledger, byPath map[string]ingest.File) {
	for key, want := range map[string]bool{"files/b": true, "files/x": false, "": false, "files/": false} {
		has, err := ledger.HasObjectKey(t.Context(), key)
		require.NoError(t, err)
		require.Equal(t, want, has, key)
	}
	for path, file := range byPath {
		found, err := ledger.File(t.Context(), file.UUID)
		require.NoError(t, err)
		require.Equal(t, path, found.RemotePath)
	}
	_, err := ledger.File(t.Context(), "11111111-2222-4333-8444-999999999999")
	require.Equal(t, ingest.KindMissing, ingest.KindOf(err), "%v", err)
}

func conformSeen(t *testing.T, ledger audit.Ledger) {
	at := now.Add(-time.Hour)
	for name, c := range map[string]struct {
		server string
		seen   []ingest.Observation
		want   []string
	}{
		"version":           {"acme", []ingest.Observation{{Path: "/b", Size: 1, ModTime: at}}, []string{"/b"}},
		"twice":             {"acme", []ingest.Observation{{Path: "/b", Size: 1, ModTime: at}, {Path: "/b", Size: 1, ModTime: at}}, []string{"/b"}},
		"other size":        {"acme", []ingest.Observation{{Path: "/b", Size: 2, ModTime: at}}, nil},
		"other time":        {"acme", []ingest.Observation{{Path: "/b", Size: 1, ModTime: now}}, nil},
		"other server":      {"globex", []ingest.Observation{{Path: "/b", Size: 1, ModTime: at}}, nil},
		"unknown":           {"acme", []ingest.Observation{{Path: "/x", Size: 1, ModTime: at}}, nil},
		"settling, changed": {"globex", []ingest.Observation{{Path: "/settling", Size: 7, ModTime: now}}, []string{"/settling"}},
		"skipped":           {"acme", []ingest.Observation{{Path: "/skipped", Size: 1, ModTime: at}}, []string{"/skipped"}},
		"several":           {"acme", []ingest.Observation{{Path: "/b", Size: 1, ModTime: at}, {Path: "/B", Size: 1, ModTime: at}}, []string{"/b", "/B"}},
		"none":              {"acme", nil, nil},
	} {
		files, err := ledger.FilesSeen(t.Context(), conformUUIDs[c.server], c.seen)
		require.NoError(t, err, name)
		var paths []string
		for _, file := range files {
			paths = append(paths, file.RemotePath)
		}
		require.ElementsMatch(t, c.want, paths, name)
	}
}

// TestObjectStoresConform runs one suite on fixture and on package objstore, whose own suite
// compares S3Double with real object stores.
func TestObjectStoresConform(t *testing.T) {
	t.Parallel()
	bodies := map[string]string{"files/b": "bb", "files/B": "B", "files/a/c": "", "other/x": "x"}
	for name, open := range map[string]func(t *testing.T) (audit.Objects, string){
		"objstore": func(t *testing.T) (audit.Objects, string) {
			s3 := services.StartS3Double(t, nil).S3
			objects, err := objstore.New(objstore.Config{
				Endpoint: s3.Endpoint, AccessKey: s3.AccessKey, SecretKey: s3.SecretKey, Bucket: s3.Bucket, Region: s3.Region, UseTLS: s3.UseTLS,
			})
			require.NoError(t, err)
			t.Cleanup(objects.Close)
			for key, body := range bodies {
				_, err := objects.PutBytes(t.Context(), ingest.PutBytes{Key: key, Body: []byte(body), SHA256: digest(body)})
				require.NoError(t, err)
			}
			return objects, s3.Bucket
		},
		"fixture": func(*testing.T) (audit.Objects, string) {
			w := newFixture(0)
			for key, body := range bodies {
				w.objects[key] = ingest.Object{Bucket: "b", Key: key, Size: int64(len(body)), SHA256: digest(body)}
			}
			return w, "b"
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			objects, bucket := open(t)
			conformObjects(t, objects, bucket, bodies)
		})
	}
}

func digest(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

func conformObjects(t *testing.T, objects audit.Objects, bucket string, bodies map[string]string) {
	ctx := t.Context()
	require.NoError(t, objects.Ping(ctx))
	for prefix, want := range map[string][]string{"files/": {"files/B", "files/a/c", "files/b"}, "": {"files/B", "files/a/c", "files/b", "other/x"}, "none/": nil} {
		var keys []string
		require.NoError(t, objects.List(ctx, prefix, func(o ingest.Object) error { keys = append(keys, o.Key); return nil }))
		require.Equal(t, want, keys, prefix)
	}
	require.ErrorIs(t, objects.List(ctx, "", func(ingest.Object) error { return context.Canceled }), context.Canceled)
	for name, read := range map[string]func(context.Context, string, string) (ingest.Object, bool, error){"head": objects.Head, "digest": objects.Digest} {
		for key, body := range bodies {
			object, found, err := read(ctx, bucket, key)
			require.NoError(t, err, name)
			require.True(t, found, name)
			require.Equal(t, []any{bucket, key, int64(len(body)), digest(body)}, []any{object.Bucket, object.Key, object.Size, object.SHA256}, name)
		}
		_, found, err := read(ctx, bucket, "files/gone")
		require.NoError(t, err, name)
		require.False(t, found, name)
	}
}
