package faults_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
	"stevedore/worker"
)

// TestFault75_StagingUnavailable makes the staging folder of a worker unavailable while it holds
// a complete file, and restores it.
func TestFault75_StagingUnavailable(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]struct {
		spoil  func(t *testing.T, dir string) (repair func())
		kind   ingest.Kind
		reason string
	}{
		"unmounted":        {mountOver(""), ingest.KindStagingUnavailable, "has lost its volume"},
		"another worker's": {mountOver(uuid.NewString()), ingest.KindStagingUnavailable, "instead of"},
		"gone":             {moveAway, ingest.KindStagingUnavailable, "has lost its volume"},
		"emptied":          {emptied, ingest.KindStagingUnavailable, "has lost its volume"},
		"read-only":        {readOnly, ingest.KindStagingUnavailable, "is read-only"},
		"out of inodes":    {outOfInodes, ingest.KindStagingFull, "inodes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			breakStaging(t, fault.spoil, fault.kind, fault.reason)
		})
	}
}

func breakStaging(t *testing.T, spoil func(*testing.T, string) func(), kind ingest.Kind, reason string) {
	h := sandbox.NewCluster(t)
	volume := mountVolume(t, t.TempDir(), "size=16m,nr_inodes=200")
	h.Cfg.Staging.Dir = filepath.Join(volume, "staging")
	h.Cfg.API.Token = "token-of-the-test"
	proxy := newStoreProxy(t, h)
	proxy.inject(func(w http.ResponseWriter, r *http.Request) bool {
		held := strings.HasSuffix(r.URL.Path, "/whole.bin")
		if held {
			refuse(w, r, http.StatusServiceUnavailable, "SlowDown", "Please reduce your request rate.")
		}
		return held
	}, nil)
	fetched, fetches := firstTime(func(ingest.Staged) {})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	h.StartWorkerWired(t, h.Cfg, worker.Options{Wrap: hooks{afterFetch: fetched}.wrap, Scrapes: listener})
	ready := func() string { return readyz(t, listener.Addr().String(), h.Cfg.API.Token.Reveal()) }

	acme, globex := h.AddServer(t, "acme", sandbox.Staged), h.AddServer(t, "globex", sandbox.InMemory)
	acme.Write(t, "whole.bin", sandbox.Random(100_000))
	first := h.Scan(t)
	whole := h.File(t, acme.Path("whole.bin"), func(f ingest.File) bool { return f.Status == ingest.StatusUploading && f.ErrorMessage != "" })
	require.Empty(t, ready())

	repair := spoil(t, h.Cfg.Staging.Dir)
	acme.Write(t, "later.bin", sandbox.Random(200_000))
	globex.Write(t, "small.csv", sandbox.Random(1000))
	second := h.Scan(t)
	h.Completed(t, globex.Path("small.csv"))
	later := h.File(t, acme.Path("later.bin"), func(f ingest.File) bool { return f.ErrorKind == kind })
	assert.Contains(t, later.ErrorMessage, reason)
	sandbox.Eventually(t, func() bool { return strings.Contains(ready(), reason) }, sandbox.Timeout, tick, "readyz lacks the reason")
	assert.Contains(t, scrape(t, listener.Addr().String()+"/metrics", h.Cfg.API.Token.Reveal()), "\nstevedore_staging_up 0\n")

	proxy.inject(nil, nil)
	repair()
	h.AwaitScans(t, first)
	h.AwaitScans(t, second)
	h.Completed(t, acme.Path("whole.bin"))
	h.Completed(t, acme.Path("later.bin"))
	h.AwaitIngest(t, whole.UUID)
	sandbox.Eventually(t, func() bool { return ready() == "" }, sandbox.Timeout, tick, "readyz does not recover")
	assert.Contains(t, scrape(t, listener.Addr().String()+"/metrics", h.Cfg.API.Token.Reveal()), "\nstevedore_staging_up 1\n")
	assert.EqualValues(t, 2, fetches.Load(), "each file was fetched once")
	h.RequireExactlyOnce(t)
}

// readyz returns the reason of /readyz; empty if the worker is ready.
func readyz(t *testing.T, address, token string) string {
	t.Helper()
	var answer struct {
		Parts []struct {
			Message string `json:"message"`
		} `json:"parts"`
	}
	require.NoError(t, json.Unmarshal([]byte(scrape(t, address+"/readyz", token)), &answer))
	var why []string
	for _, part := range answer.Parts {
		if part.Message != "" {
			why = append(why, part.Message)
		}
	}
	return strings.Join(why, "; ")
}

func scrape(t *testing.T, address, token string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address, nil)
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return string(text)
}

// mountOver hides the folder behind another volume: an empty one, or another worker's.
func mountOver(id string) func(t *testing.T, dir string) func() {
	return func(t *testing.T, dir string) func() {
		require.NoError(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"))
		if id != "" {
			require.NoError(t, os.Mkdir(filepath.Join(dir, "files"), 0o700))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "host-id"), []byte(id), 0o600))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "lock"), nil, 0o600))
		}
		return func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) }
	}
}

func moveAway(t *testing.T, dir string) func() {
	require.NoError(t, os.Rename(dir, dir+".away"))
	return func() { require.NoError(t, os.Rename(dir+".away", dir)) }
}

// emptied moves everything out of the folder.
func emptied(t *testing.T, dir string) func() {
	move := func(from, to string) {
		entries, err := os.ReadDir(from)
		require.NoError(t, err)
		for _, entry := range entries {
			require.NoError(t, os.Rename(filepath.Join(from, entry.Name()), filepath.Join(to, entry.Name())))
		}
	}
	aside := dir + ".aside"
	require.NoError(t, os.Mkdir(aside, 0o700))
	move(dir, aside)
	return func() { move(aside, dir) }
}

// readOnly mounts a read-only view over the folder. A volume with open files cannot be
// remounted read-only, unlike a broken disk.
func readOnly(t *testing.T, dir string) func() {
	require.NoError(t, unix.Mount(dir, dir, "", unix.MS_BIND, ""))
	require.NoError(t, unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""))
	return func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) }
}

// outOfInodes creates files until the volume has no more inodes.
func outOfInodes(t *testing.T, dir string) func() {
	ballast := filepath.Join(filepath.Dir(dir), "ballast")
	require.NoError(t, os.Mkdir(ballast, 0o700))
	var err error
	for n := 0; err == nil; n++ {
		err = os.WriteFile(filepath.Join(ballast, strconv.Itoa(n)), nil, 0o600)
	}
	require.ErrorIs(t, err, unix.ENOSPC)
	return func() { require.NoError(t, os.RemoveAll(ballast)) }
}
