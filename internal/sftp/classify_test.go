package sftp_test

import (
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/sftp"
	"stevedore/internal/test/services"
)

// withoutExcluded removes the entries with Aside set.
func withoutExcluded(seen map[string]ingest.Observation) map[string]ingest.Observation {
	maps.DeleteFunc(seen, func(_ string, o ingest.Observation) bool { return o.Ignored != "" })
	return seen
}

func TestListGlobs(t *testing.T) {
	t.Parallel()
	b := newSSHDFixture(t, sftp.Config{}, services.SSHDOptions{})
	for _, name := range []string{"a.csv", "b.txt", "c.csv.part", "D.CSV.TMP", "in/d.csv", "in/e.csv.filepart", "old/f.csv", "old/x.tmp", "done/g.csv", "in/done/h.csv"} {
		b.Write(t, name, nil)
	}
	b.server.Include = []string{"**/*.csv"}
	b.server.Exclude = []string{"old/**"}
	b.server.AfterIngest = ingest.AfterIngest("move:" + b.Path("done"))

	seen, _ := list(t, b.open(t), b.Root)
	assert.Equal(t, ingest.IgnoredInProgress, seen["D.CSV.TMP"].Ignored, "regardless of the includes")
	assert.NotContains(t, seen, "old/x.tmp", "excluded files in progress are not counted")
	assert.ElementsMatch(t, []string{"a.csv", "in/d.csv", "in/done/h.csv"}, sortedPaths(withoutExcluded(seen)))

	b.server.Include, b.server.Exclude = nil, []string{"in", "old", "done"}
	seen, _ = list(t, b.open(t), b.Root)
	assert.ElementsMatch(t, []string{"a.csv", "b.txt"}, sortedPaths(withoutExcluded(seen)))

	b.server.Include = []string{"[a"}
	_, err := b.open(t).List(deadline(t), ingest.ListRequest{}, func(ingest.Observation) error { return nil })
	requireKind(t, err, ingest.KindInvalid, `"[a"`)
}

// TestNamesInProgress checks the temporary names of rsync, WinSCP, ProFTPD, Pure-FTPd,
// NiFi, Camel, HDFS, Flink, browsers, editors, NFS, FUSE and desktops, and similar names
// of deliveries.
func TestNamesInProgress(t *testing.T) {
	t.Parallel()
	unfinished := []string{
		".in.big.csv.", ".big.csv.a1B2c3", ".big.csv", "big.csv.filepart", "big.csv.tmp", "big.csv~", ".#big.csv", "~big.csv", "~$big.xlsx",
		"big.csv.uploading", "big.csv.upload", "big.csv.inprogress", "big.csv.in_progress", "big.csv.incomplete", "big.csv.crdownload",
		"big.csv.swp", ".pureftpd-upload.5f.1", ".goutputstream-XYZ", "._big.csv", ".DS_Store", "Thumbs.db", "desktop.ini", ".nfs000001",
		".fuse_hidden0000", "big.csv.temp", "big.csv.lock", "big.csv.LCK", "big.csv.TMP", "tmp_big.csv", "tmp.a8Zk2", "_tmp_big.csv", "big.tmp.csv",
		"big.csv.part", "big.csv.partial", "big.csv.writing", "big.csv.wip", "big.csv.pending", "big.csv.!ut", "big.csv.opdownload",
		"big.csv.camelLock", "big.csv._COPYING_", ".part-0-0.inprogress.7f", "big.csv.sb-1a2b3c4d-Xy12Zq", ".~lock.big.xlsx#", "#big.csv#",
		".~tmp~/big.csv", ".rsync-partial/big.csv", "_temporary/0/big.csv",
	}
	real := []string{
		"a.csv", "template.csv", "partial.csv", "a.part1.rar", "uploaded.csv", "temperatures.csv", "temp_readings.csv", "lock.csv", "blocks.lockers",
		"tmpfile", "inprogress.csv", "in.csv", "departures.txt", "a.parts", "b.download.csv", "sub.tmp/a.csv", "tmp_2026/a.csv",
	}
	b := newSSHDFixture(t, sftp.Config{}, services.SSHDOptions{})
	for _, name := range slices.Concat(unfinished, real) {
		b.Write(t, name, []byte("half"))
	}
	seen, _ := list(t, b.open(t), b.Root)
	aside := 0
	for _, o := range seen {
		if o.Ignored == ingest.IgnoredInProgress {
			aside++
		}
	}
	assert.Equal(t, len(unfinished)-3, aside, "each is counted except those in folders that are not entered")
	assert.ElementsMatch(t, real, sortedPaths(withoutExcluded(seen)))

	b.server.InProgressNames = []string{"*.busy", "Hold/"}
	for _, name := range []string{"x.BUSY", "hold/y.csv"} {
		b.Write(t, name, nil)
	}
	seen, _ = list(t, b.open(t), b.Root)
	assert.Equal(t, ingest.IgnoredInProgress, seen["x.BUSY"].Ignored)
	assert.NotContains(t, seen, "hold/y.csv")
	assert.Empty(t, seen["big.csv.tmp"].Ignored, "the server's list replaces the default")

	b.server.InProgressNames = []string{ingest.InProgressDefault, "*.busy"}
	seen, _ = list(t, b.open(t), b.Root)
	assert.Equal(t, ingest.IgnoredInProgress, seen["x.BUSY"].Ignored)
	assert.Equal(t, ingest.IgnoredInProgress, seen["big.csv.tmp"].Ignored)

	b.server.InProgressNames = []string{}
	seen, _ = list(t, b.open(t), b.Root)
	assert.Empty(t, seen["x.BUSY"].Ignored)
}

func TestListPairsCompanions(t *testing.T) {
	t.Parallel()
	b := newSSHDFixture(t, sftp.Config{}, services.SSHDOptions{})
	for _, name := range []string{
		"own/a.csv", "own/a.csv.sha256", "own/a.csv.md5", "own/lonely.sha256",
		"sums/b.csv", "sums/b.csv.md5", "sums/c.csv", "sums/SHA256SUMS", "sums/MD5SUMS",
		"md5/d.csv", "md5/MD5SUMS", "empty/SHA256SUMS", "excluded/e.csv", "excluded/e.csv.sha256",
		"other/f.csv", "other/f.csv.SHA512", "other/g.csv", "other/g.b2", "other/h.csv", "other/h.txt", "other/h.sha256",
		"other/I.CSV", "other/i.csv.MD5", "lists/j.csv", "lists/checksums.txt", "busy/SHA256SUMS", "busy/k.csv.part",
	} {
		b.Write(t, name, nil)
	}
	b.server.Exclude = []string{"excluded/*.sha256"}

	seen, _ := list(t, b.open(t), b.Root)

	got, aside := make(map[string]string), make(map[string]string)
	for name, o := range seen {
		switch o.Ignored {
		case "":
			got[name] = o.Sidecar.Path
		case ingest.IgnoredCompanion:
			aside[name] = o.Of
		}
	}
	assert.Equal(t, map[string]string{
		"own/a.csv":      b.Path("own/a.csv.sha256"),
		"sums/b.csv":     b.Path("sums/SHA256SUMS"),
		"sums/c.csv":     b.Path("sums/SHA256SUMS"),
		"md5/d.csv":      b.Path("md5/MD5SUMS"),
		"excluded/e.csv": "",
		"other/f.csv":    b.Path("other/f.csv.SHA512"),
		"other/g.csv":    b.Path("other/g.b2"),
		"other/h.csv":    "", "other/h.txt": "",
		"other/I.CSV": b.Path("other/i.csv.MD5"),
		"lists/j.csv": b.Path("lists/checksums.txt"),
	}, got)
	assert.Equal(t, map[string]string{
		"own/lonely.sha256": b.Path("own/lonely"), "empty/SHA256SUMS": "", "other/h.sha256": b.Path("other/h"), "busy/SHA256SUMS": "",
	}, aside, "a checksum file without its file is not a delivery")

	b.server.Exclude, b.server.Include = nil, []string{"**/*.csv", "**/*.md5"}
	b.Write(t, "own/only.md5", nil)
	seen, _ = list(t, b.open(t), b.Root)
	assert.Contains(t, sortedPaths(withoutExcluded(seen)), "own/only.md5", "an include that names the extension makes it a delivery")
	assert.NotContains(t, sortedPaths(seen), "own/a.csv.md5", "it belongs to a file")
}

// TestMarkersMustBeYounger checks that the marker of an earlier delivery is ignored.
func TestMarkersMustBeYounger(t *testing.T) {
	t.Parallel()
	b := newSSHDFixture(t, sftp.Config{}, services.SSHDOptions{})
	when := time.Now().Add(-time.Hour).Truncate(time.Second)
	at := func(name string, seconds int) {
		b.Write(t, name, []byte("12345"))
		moment := when.Add(time.Duration(seconds) * time.Second)
		require.NoError(t, os.Chtimes(b.Path(name), moment, moment))
	}
	at("stale.csv", 0)
	at("stale.csv.done", -1)
	at("equal.csv", 0)
	at("equal.csv.done", 0)
	at("fresh.csv", 0)
	at("fresh.csv.done", 1)
	at("none.csv", 0)
	at("orphan.csv.done", 0)
	b.server.DoneMarker, b.server.MinSize = "*.done", 5
	seen, _ := list(t, b.open(t), b.Root)
	assert.Contains(t, seen["stale.csv"].WaitsFor, "older than the file")
	assert.Contains(t, seen["none.csv"].WaitsFor, "its done-marker")
	assert.Empty(t, seen["equal.csv"].WaitsFor)
	assert.Empty(t, seen["fresh.csv"].WaitsFor)
	assert.Equal(t, ingest.Companion{Path: b.Path("fresh.csv.done"), Size: 5, ModTime: when.Add(time.Second).UTC()}, seen["fresh.csv"].Marker)
	assert.Equal(t, ingest.IgnoredCompanion, seen["orphan.csv.done"].Ignored)
	assert.Equal(t, b.Path("orphan.csv"), seen["orphan.csv.done"].Of)
	assert.NotContains(t, seen, "fresh.csv.done")

	b.server.DoneMarker, b.server.MinSize = "stale.csv.done", 6
	seen, _ = list(t, b.open(t), b.Root)
	assert.Contains(t, seen["fresh.csv"].WaitsFor, "older than the file", "one marker for all files, and a file newer than it")
	b.server.DoneMarker = ""
	seen, _ = list(t, b.open(t), b.Root)
	assert.Contains(t, seen["fresh.csv"].WaitsFor, "at least 6 bytes")
}
