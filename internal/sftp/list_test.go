package sftp_test

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/sftp"
	"stevedore/internal/test/services"
)

func TestListNestedAndUnusualNames(t *testing.T) {
	t.Parallel()
	b := newSSHDFixture(t, sftp.Config{}, services.SSHDOptions{})
	names := []string{"a.csv", "in/b.csv", "in/deep/er/c.csv", "отчёт за март.csv", "caf\xe9.csv", "new\nline.csv", "пап ка/ф.csv", "e\u0301.csv", "\u00e9.csv"}
	for _, name := range names {
		b.Write(t, name, []byte(name))
	}
	when := time.Date(2026, 3, 4, 5, 6, 7, 890_000_000, time.UTC)
	require.NoError(t, os.Chtimes(b.Path("a.csv"), when, when))

	seen, unreadable := list(t, b.open(t), b.Root)

	assert.Zero(t, unreadable)
	assert.ElementsMatch(t, names, slices.Collect(maps.Keys(seen)))
	assert.Equal(t, ingest.Observation{Path: b.Path("a.csv"), Size: 5, ModTime: when.Truncate(time.Second)}, seen["a.csv"])
	for _, name := range names {
		assert.EqualValues(t, len(name), seen[name].Size, "%q", name)
		assert.Empty(t, seen[name].Rejected, "%q", name)
	}
}

func TestListRejectsIrregularFiles(t *testing.T) {
	t.Parallel()
	b := newSSHDFixture(t, sftp.Config{}, services.SSHDOptions{})
	b.Write(t, "real.csv", []byte("x"))
	require.NoError(t, os.Symlink("real.csv", b.Path("link.csv")))
	require.NoError(t, os.Symlink("/etc/passwd", b.Path("out.csv")))
	require.NoError(t, os.Symlink(".", b.Path("loop.csv")))
	require.NoError(t, os.Symlink(".", b.Path("loop")))
	require.NoError(t, syscall.Mkfifo(b.Path("pipe.csv"), 0o644))
	listener, err := net.Listen("unix", b.Path("sock.csv"))
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	b.server.Include = []string{"**/*.csv"}

	session := b.open(t)
	seen, _ := list(t, session, b.Root)

	assert.ElementsMatch(t, []string{"real.csv", "link.csv", "out.csv", "loop.csv", "pipe.csv", "sock.csv"}, slices.Collect(maps.Keys(seen)))
	assert.Empty(t, seen["real.csv"].Rejected)
	for _, name := range []string{"link.csv", "out.csv", "loop.csv"} {
		assert.Contains(t, seen[name].Rejected, "symbolic link", name)
	}
	assert.Contains(t, seen["pipe.csv"].Rejected, "FIFO")
	assert.Contains(t, seen["sock.csv"].Rejected, "socket")

	// OpenFile rejects each of them without hanging.
	for _, name := range []string{"link.csv", "pipe.csv", "sock.csv"} {
		_, err := session.OpenFile(deadline(t), b.Path(name))
		requireKind(t, err, ingest.KindChanged, "not a regular file")
	}
	_, err = session.OpenFile(deadline(t), b.Root)
	requireKind(t, err, ingest.KindChanged, "is a folder")
}

func TestListLimits(t *testing.T) {
	t.Parallel()
	b := newSSHDFixture(t, sftp.Config{MaxEntriesPerFolder: 10, MaxEntries: 15}, services.SSHDOptions{})
	for i := range 8 {
		b.Write(t, string(rune('a'+i)), nil)
		b.Write(t, "in/"+string(rune('a'+i)), nil)
	}
	ignore := func(ingest.Observation) error { return nil }
	_, err := b.open(t).List(deadline(t), ingest.ListRequest{}, ignore)
	requireKind(t, err, ingest.KindInvalid, "more than 15 entries")
	for i := range 4 {
		b.Write(t, "in/more"+string(rune('a'+i)), nil)
	}
	unread, err := b.open(t).List(deadline(t), ingest.ListRequest{}, ignore)
	require.NoError(t, err, "a too large folder does not end the listing")
	require.Len(t, unread.Folders, 1)
	assert.Equal(t, b.Path("in"), unread.Folders[0].Path)
	assert.Contains(t, unread.Folders[0].Reason, "more than 10 entries")
	b.server.RootPath = b.Path("in")
	_, err = b.open(t).List(deadline(t), ingest.ListRequest{}, ignore)
	requireKind(t, err, ingest.KindInvalid, "more than 10 entries", "split")
}

func TestListStopsOnCallbackError(t *testing.T) {
	t.Parallel()
	b := newSSHDFixture(t, sftp.Config{}, services.SSHDOptions{})
	b.Write(t, "a", nil)
	b.Write(t, "b", nil)
	full := errors.New("full")
	calls := 0
	_, err := b.open(t).List(deadline(t), ingest.ListRequest{}, func(ingest.Observation) error { calls++; return full })
	require.ErrorIs(t, err, full)
	assert.Equal(t, 1, calls)

	b.server.RootPath = b.Path("nowhere")
	_, err = b.open(t).List(deadline(t), ingest.ListRequest{}, func(ingest.Observation) error { return nil })
	requireKind(t, err, ingest.KindNotFound, "nowhere")
}

func TestStatRemoveRename(t *testing.T) {
	t.Parallel()
	b := newSSHDFixture(t, sftp.Config{}, services.SSHDOptions{})
	b.Write(t, "a.csv", []byte("abc"))
	b.Write(t, "taken.csv", []byte("other"))
	require.NoError(t, os.Mkdir(b.Path("folder"), 0o755))
	session, ctx := b.open(t), deadline(t)

	seen, err := session.Stat(ctx, b.Path("a.csv"))
	require.NoError(t, err)
	assert.EqualValues(t, 3, seen.Size)
	_, err = session.Stat(ctx, b.Path("gone"))
	requireKind(t, err, ingest.KindNotFound)

	requireKind(t, session.Remove(ctx, b.Path("folder")), ingest.KindChanged, "is a folder")
	assert.DirExists(t, b.Path("folder"))
	requireKind(t, session.Remove(ctx, b.Path("gone")), ingest.KindNotFound)
	requireKind(t, session.Rename(ctx, b.Path("a.csv"), b.Path("none/a.csv")), ingest.KindMissing, "create the target folder")
	require.ErrorContains(t, session.Rename(ctx, b.Path("a.csv"), b.Path("taken.csv")), "/taken.csv", "an existing file is not replaced, and the message names it")
	assert.FileExists(t, b.Path("a.csv"))

	session = b.open(t)
	require.NoError(t, session.Rename(ctx, b.Path("a.csv"), b.Path("folder/a.csv")))
	require.NoError(t, session.Remove(ctx, b.Path("folder/a.csv")))
	assert.NoFileExists(t, b.Path("folder/a.csv"))
}

// TestListReportsUnmatchedEntries checks the note on entries that no pattern matches,
// because a pattern without matches is probably a mistake.
func TestListReportsUnmatchedEntries(t *testing.T) {
	t.Parallel()
	b := newSSHDFixture(t, sftp.Config{}, services.SSHDOptions{})
	for _, name := range []string{"a.csv", "b.txt", "x/c.csv", "done/d.csv", ".part"} {
		b.Write(t, name, []byte("1"))
	}
	b.server.AfterIngest = ingest.AfterIngest("move:" + b.Path("done"))
	for name, tc := range map[string]struct {
		include, exclude []string
		note             string
	}{
		"all match":      {nil, nil, ""},
		"one":            {[]string{"**/*.csv"}, nil, "excluded by the patterns: 1, e.g. " + b.Path("b.txt")},
		"a folder":       {[]string{"*"}, nil, "excluded by the patterns: 1, e.g. " + b.Path("x") + "/"},
		"excluded":       {nil, []string{"x"}, "excluded by the patterns: 1, e.g. " + b.Path("x") + "/"},
		"other case":     {[]string{"**/*.CSV"}, nil, "exclude everything: 3 entries, e.g. "},
		"no such folder": {[]string{"y/*.csv"}, nil, "exclude everything: 3 entries, e.g. "},
	} {
		server := b.server
		server.Include, server.Exclude = tc.include, tc.exclude
		session, err := b.pool.Open(deadline(t), server)
		require.NoError(t, err)
		var left ingest.Unmatched
		taken := int64(0)
		_, err = session.List(deadline(t), ingest.ListRequest{Omitted: left.Add}, func(seen ingest.Observation) error {
			if seen.Ignored == "" {
				taken++
			}
			return nil
		})
		require.NoError(t, err)
		require.NoError(t, session.Close())
		assert.Contains(t, left.Note(taken).String(), tc.note, name)
		assert.Equal(t, tc.note == "", left.Count == 0, name)
	}
}

// TestSampleHasReasons checks that a sample has each entry that is not taken, and why.
func TestSampleHasReasons(t *testing.T) {
	t.Parallel()
	b := newSSHDFixture(t, sftp.Config{}, services.SSHDOptions{})
	for _, name := range []string{
		"taken.csv", "taken.csv.done", "small.csv", "small.csv.done", "unmarked.csv", "old.txt", "b.bak", "c.csv.tmp", "d.csv.sha256", "kept/e.csv",
		"kept/deeper/f.csv", "x/g.csv", "done/h.csv",
	} {
		b.Write(t, name, []byte("12"))
	}
	b.Write(t, "small.csv", []byte("1"))
	require.NoError(t, os.Symlink(b.Path("taken.csv"), b.Path("link.csv")))
	b.server.AfterIngest = ingest.AfterIngest("move:" + b.Path("done"))
	b.server.Include, b.server.Exclude = []string{"**/*.csv", "*.bak"}, []string{"*.bak", "x"}
	b.server.DoneMarker, b.server.MinSize, b.server.MaxDepth = "*.done", 2, 1
	sample := func() (list []string) {
		got, err := b.pool.ProbeWith(deadline(t), b.server, true)
		require.NoError(t, err)
		for _, path := range got.Sample.Paths {
			list = append(list, path+": taken")
		}
		for _, e := range got.Sample.Omitted {
			list = append(list, e.Path+": "+e.String())
		}
		for i := range list {
			list[i] = strings.ReplaceAll(list[i], b.Path(""), "")
		}
		return list
	}
	want := []string{
		"b.bak: excluded by *.bak", "c.csv.tmp: name of a file in progress, *.tmp", "d.csv.sha256: done-marker or checksum file",
		"done/: target folder of the after-ingest move", "kept/deeper/: beyond the folder depth of 1", "kept/e.csv: waits for its done-marker kept/e.csv.done",
		"link.csv: rejected: is a symbolic link, which is not followed", "old.txt: matches no include pattern", "small.csv: waits for at least 2 bytes: it has 1",
		"small.csv.done: done-marker or checksum file", "taken.csv.done: done-marker or checksum file",
		"unmarked.csv: waits for its done-marker unmarked.csv.done", "x/: excluded by x",
	}
	require.ElementsMatch(t, append(slices.Clone(want), "taken.csv: taken"), sample())
	b.server.MinAge = time.Hour
	require.ElementsMatch(t, append(want, "taken.csv: younger than the minimum age of 1h0m0s"), sample())
	for i := range 250 {
		b.Write(t, fmt.Sprintf("many/%d.txt", i), nil)
	}
	require.Len(t, sample(), 200)
}

// TestRootIsNoFolder checks that the errors have advice.
func TestRootIsNoFolder(t *testing.T) {
	t.Parallel()
	b := newSSHDFixture(t, sftp.Config{}, services.SSHDOptions{})
	b.Write(t, "file.csv", nil)
	require.NoError(t, os.Symlink(b.Path("nowhere"), b.Path("dangling")))
	require.NoError(t, os.Symlink(b.Path("file.csv"), b.Path("to-file")))
	for root, advice := range map[string]string{
		"file.csv": "is a file: set --path to its folder", "dangling": "is a dangling link", "to-file": "is a link to something other than a folder",
		"nowhere": "does not exist: check --path; the home folder of user",
	} {
		server := b.server
		server.RootPath = b.Path(root)
		_, err := open(t, b.pool, server).List(deadline(t), ingest.ListRequest{}, func(ingest.Observation) error { return nil })
		require.ErrorContains(t, err, advice)
		require.ErrorContains(t, err, root)
		_, err = b.pool.Probe(deadline(t), server)
		require.ErrorContains(t, err, advice)
	}
}
