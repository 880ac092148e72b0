package sftp_test

import (
	"encoding/binary"
	"fmt"
	"maps"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/sftp"
	"stevedore/internal/test/services"
)

// behaviorFixture is a tree on a server with unusual behavior, and a pool with its credentials.
type behaviorFixture struct {
	*services.FaultyTree
	server ingest.Server
	pool   *sftp.Pool
}

func newBehaviorFixture(t *testing.T, cfg sftp.Config) *behaviorFixture {
	t.Helper()
	tree := services.StartFaultyTree(t)
	return &behaviorFixture{
		FaultyTree: tree, server: tree.Server("acme", uuid.NewString()),
		pool: newPool(t, cfg, secrets{Password: []byte(tree.Password)}),
	}
}

func (b *behaviorFixture) open(t *testing.T) *sftp.Session {
	t.Helper()
	return open(t, b.pool, b.server)
}

// listing returns the observations of a listing by path below /in.
func (b *behaviorFixture) listing(t *testing.T, session *sftp.Session, request ingest.ListRequest) (map[string]ingest.Observation, ingest.Unread, error) {
	t.Helper()
	seen := make(map[string]ingest.Observation)
	unread, err := session.List(deadline(t), request, func(o ingest.Observation) error {
		seen[strings.TrimPrefix(o.Path, "/in/")] = o
		return nil
	})
	return seen, unread, err
}

func (b *behaviorFixture) seen(t *testing.T) (map[string]ingest.Observation, ingest.Unread) {
	t.Helper()
	seen, unread, err := b.listing(t, b.open(t), ingest.ListRequest{})
	require.NoError(t, err)
	return seen, unread
}

func sortedPaths(seen map[string]ingest.Observation) []string { return slices.Sorted(maps.Keys(seen)) }

func refuse(status uint32, ops ...string) func(services.TreeRequest) uint32 {
	return func(r services.TreeRequest) uint32 {
		if slices.Contains(ops, r.Op) {
			return status
		}
		return 0
	}
}

// TestIncompleteAttributes checks that types and sizes are found out for listings without
// attributes: folders are entered, files have their size, links are not followed.
func TestIncompleteAttributes(t *testing.T) {
	t.Parallel()
	lstat := refuse(services.StatusUnsupported, "LSTAT")
	for name, ways := range map[string]services.TreeFaults{
		"honest":                {},
		"no types":              {NoTypes: true},
		"no types nor names":    {NoTypes: true, NoLong: true},
		"no attributes":         {NoAttrs: true},
		"nothing listed":        {NoAttrs: true, NoLong: true},
		"no LSTAT":              {NoAttrs: true, NoLong: true, Request: lstat},
		"LSTAT fails":           {NoAttrs: true, NoLong: true, Request: refuse(services.StatusFailure, "LSTAT")},
		"no LSTAT, no READLINK": {NoAttrs: true, Request: refuse(services.StatusUnsupported, "LSTAT", "READLINK")},
		"no types, no LSTAT":    {NoTypes: true, NoLong: true, Request: refuse(services.StatusUnsupported, "LSTAT", "STAT")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBehaviorFixture(t, sftp.Config{})
			b.File("a.csv", "1234")
			b.File("sub/deep/b.csv", "12")
			b.Folder("sub/looks-like-a-file.csv")
			b.Link("link.csv", "/in/a.csv")
			b.SetFaults(ways)
			seen, unread := b.seen(t)
			assert.Zero(t, unread.Count)
			if !strings.HasPrefix(name, "no types") || !ways.NoLong {
				assert.Contains(t, seen["link.csv"].Rejected, "symbolic link")
			}
			delete(seen, "link.csv")
			require.Equal(t, []string{"a.csv", "sub/deep/b.csv"}, sortedPaths(seen))
			assert.EqualValues(t, 4, seen["a.csv"].Size)
			assert.EqualValues(t, 2, seen["sub/deep/b.csv"].Size)
			assert.InDelta(t, time.Now().Add(-time.Hour).Unix(), seen["a.csv"].ModTime.Unix(), 60)
			for at, o := range seen {
				assert.Empty(t, o.Rejected, at)
			}
		})
	}
}

// TestUnreportedSizes checks that files of unknown size are rejected, and that useless
// lookups stop.
func TestUnreportedSizes(t *testing.T) {
	t.Parallel()
	b := newBehaviorFixture(t, sftp.Config{})
	for i := range 300 {
		b.File(fmt.Sprintf("%03d", i), "x")
	}
	b.SetFaults(services.TreeFaults{NoSizes: true})
	seen, _ := b.seen(t)
	require.Len(t, seen, 300)
	for at, o := range seen {
		assert.Equal(t, "has no size", o.Rejected, at)
	}
	assert.Less(t, len(b.Requests("LSTAT")), 100)
}

// TestPartialAttributes checks that a size or time that one reply omits is taken from
// another: an omitted size is not 0 bytes.
func TestPartialAttributes(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		faults services.TreeFaults
		size   bool
	}{
		"LSTAT without size":           {services.TreeFaults{NoSizesIn: []string{"LSTAT"}}, true},
		"LSTAT and STAT without size":  {services.TreeFaults{NoSizesIn: []string{"LSTAT", "STAT"}}, true},
		"only STAT with size":          {services.TreeFaults{NoSizesIn: []string{"LSTAT", "READDIR", "FSTAT"}}, true},
		"no LSTAT, STAT without size":  {services.TreeFaults{NoSizesIn: []string{"STAT"}, Request: refuse(services.StatusUnsupported, "LSTAT")}, true},
		"no size":                      {services.TreeFaults{NoSizes: true}, false},
		"LSTAT without time":           {services.TreeFaults{NoTimesIn: []string{"LSTAT"}}, true},
		"only STAT with time":          {services.TreeFaults{NoTimesIn: []string{"LSTAT", "READDIR", "FSTAT"}}, true},
		"LSTAT without time and types": {services.TreeFaults{NoTypes: true, NoLong: true, NoSizesIn: []string{"LSTAT"}, NoTimesIn: []string{"LSTAT"}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBehaviorFixture(t, sftp.Config{})
			b.File("a.csv", "1234")
			b.SetFaults(tc.faults)
			s := b.open(t)
			listed, _, err := b.listing(t, s, ingest.ListRequest{})
			require.NoError(t, err)
			stat, err := s.Stat(deadline(t), "/in/a.csv")
			require.NoError(t, err)
			for by, o := range map[string]ingest.Observation{"listing": listed["a.csv"], "stat": stat} {
				if !tc.size {
					assert.Equal(t, "has no size", o.Rejected, by)
					continue
				}
				assert.Empty(t, o.Rejected, by)
				assert.EqualValues(t, 4, o.Size, by)
				assert.InDelta(t, time.Now().Add(-time.Hour).Unix(), o.ModTime.Unix(), 60, by)
			}
		})
	}
}

// TestServerWithoutTimes checks that STAT is not requested for each file to find a time.
func TestServerWithoutTimes(t *testing.T) {
	t.Parallel()
	b := newBehaviorFixture(t, sftp.Config{})
	b.File("a.csv", "1234")
	b.SetFaults(services.TreeFaults{NoTimes: true})
	s := b.open(t)
	for range 5 {
		seen, err := s.Stat(deadline(t), "/in/a.csv")
		require.NoError(t, err)
		assert.Zero(t, seen.ModTime.Unix())
	}
	assert.Len(t, b.Requests("STAT"), 1)
}

// TestReadingWithoutStat checks that files are read from servers without LSTAT, STAT or
// FSTAT.
func TestReadingWithoutStat(t *testing.T) {
	t.Parallel()
	for name, ways := range map[string]services.TreeFaults{
		"no FSTAT":                 {Request: refuse(services.StatusUnsupported, "FSTAT")},
		"FSTAT fails":              {Request: refuse(services.StatusFailure, "FSTAT")},
		"no LSTAT":                 {Request: refuse(services.StatusUnsupported, "LSTAT", "FSTAT")},
		"no LSTAT, STAT, REALPATH": {Request: refuse(services.StatusUnsupported, "LSTAT", "STAT", "FSTAT", "REALPATH", "READLINK")},
		"LSTAT and STAT fail":      {Request: refuse(services.StatusFailure, "LSTAT", "STAT")},
		"no types":                 {NoTypes: true},
		"no types in any reply":    {NoTypes: true, NoAttrs: true, NoLong: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBehaviorFixture(t, sftp.Config{})
			b.File("a.csv", "1234")
			b.Folder("sub")
			b.Link("link.csv", "/in/a.csv")
			b.SetFaults(ways)
			s, ctx := b.open(t), deadline(t)
			for range 2 { // the second time with the observed behavior
				seen, err := s.Stat(ctx, "/in/a.csv")
				require.NoError(t, err)
				assert.Empty(t, seen.Rejected)
				assert.EqualValues(t, 4, seen.Size)
				f, err := s.OpenFile(ctx, "/in/a.csv")
				require.NoError(t, err)
				buf := make([]byte, 4)
				_, err = f.ReadAt(buf, 0)
				require.NoError(t, err)
				assert.Equal(t, "1234", string(buf))
				require.NoError(t, f.Close())
			}
			seen, err := s.Stat(ctx, "/in/sub")
			require.NoError(t, err)
			assert.Equal(t, "is a folder", seen.Rejected)
			if !ways.NoTypes {
				seen, err = s.Stat(ctx, "/in/link.csv")
				require.NoError(t, err)
				assert.Contains(t, seen.Rejected, "symbolic link")
			}
		})
	}
}

// TestStatusOfMissingPaths checks that a missing path is KindNotFound for every status
// that servers send.
func TestStatusOfMissingPaths(t *testing.T) {
	t.Parallel()
	for _, missing := range []uint32{services.StatusNoSuchFile, services.StatusFailure, services.StatusPermission, 5, 10, 17} {
		t.Run(fmt.Sprint(missing), func(t *testing.T) {
			t.Parallel()
			b := newBehaviorFixture(t, sftp.Config{})
			b.File("a.csv", "1")
			b.Folder("done")
			b.SetFaults(services.TreeFaults{Missing: missing})
			s, ctx := b.open(t), deadline(t)
			for _, at := range []string{"/in/gone.csv", "/in/none/gone.csv", "/nowhere/at/all.csv"} {
				_, err := s.Stat(ctx, at)
				requireKind(t, err, ingest.KindNotFound)
			}
			_, err := s.OpenFile(ctx, "/in/gone.csv")
			requireKind(t, err, ingest.KindNotFound)
			requireKind(t, s.Remove(ctx, "/in/gone.csv"), ingest.KindNotFound)
			if missing != services.StatusPermission {
				requireKind(t, s.Rename(ctx, "/in/a.csv", "/in/none/a.csv"), ingest.KindMissing, "create the target folder")
			}
			require.NoError(t, s.Rename(ctx, "/in/a.csv", "/in/done/a.csv"))
			require.NoError(t, s.Remove(ctx, "/in/done/a.csv"))
		})
	}
}

// TestRefusedStatOfExistingFile checks that a refusal for an existing path stays one.
func TestRefusedStatOfExistingFile(t *testing.T) {
	t.Parallel()
	b := newBehaviorFixture(t, sftp.Config{})
	b.File("a.csv", "1")
	b.SetFaults(services.TreeFaults{Request: refuse(services.StatusPermission, "LSTAT", "STAT")})
	_, err := b.open(t).Stat(deadline(t), "/in/a.csv")
	requireKind(t, err, ingest.KindPermission)
}

func TestEndsOfFolders(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]uint32{
		"EOF": 0, "OK": services.EndOK, "empty": services.EndEmpty, "again": services.EndAgain, "failure": services.StatusFailure,
		"no such file": services.StatusNoSuchFile, "unsupported": services.StatusUnsupported,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBehaviorFixture(t, sftp.Config{})
			for i := range 250 {
				b.File(fmt.Sprintf("%03d", i), "x")
			}
			b.File("sub/a.csv", "1")
			b.Folder("void")
			b.SetFaults(services.TreeFaults{End: end})
			seen, unread := b.seen(t)
			assert.Zero(t, unread.Count, "%v", unread)
			assert.Len(t, seen, 251)
		})
	}
}

// TestFailureWithinFolder checks that a failure is not taken for EOF on a server that
// sends EOF.
func TestFailureWithinFolder(t *testing.T) {
	t.Parallel()
	b := newBehaviorFixture(t, sftp.Config{})
	for _, name := range []string{"1/a", "2/b", "2/c", "3/d"} {
		b.File(name, "x")
	}
	answers := 0
	b.SetFaults(services.TreeFaults{PerAnswer: 3, Request: func(r services.TreeRequest) uint32 {
		if r.Op == "READDIR" && r.Path == "/in/2" {
			if answers++; answers > 1 {
				return services.StatusFailure
			}
		}
		return 0
	}})
	seen, unread := b.seen(t)
	assert.Equal(t, []string{"1/a", "3/d"}, sortedPaths(seen))
	require.EqualValues(t, 1, unread.Count)
	assert.Equal(t, ingest.UnreadFolder{Path: "/in/2", Reason: "is incomplete: its listing failed after 3 entries"}, unread.Folders[0])
}

// TestBadFoldersDoNotEndListing checks that bad folders are reported by name and do not
// affect the others.
func TestBadFoldersDoNotEndListing(t *testing.T) {
	t.Parallel()
	b := newBehaviorFixture(t, sftp.Config{MaxEntriesPerFolder: 50})
	for _, folder := range []string{"a", "closed", "endless", "failing", "garbage", "huge", "m", "z"} {
		b.File(folder+"/f.csv", "1")
	}
	b.SetFaults(services.TreeFaults{
		Request: func(r services.TreeRequest) uint32 {
			switch {
			case r.Op == "OPENDIR" && r.Path == "/in/closed":
				return services.StatusPermission
			case r.Op == "OPENDIR" && r.Path == "/in/failing":
				return services.StatusFailure
			}
			return 0
		},
		Names: func(folder string, n int) []byte {
			switch folder {
			case "/in/endless":
				return join(uint32(1), fmt.Sprint(n), "", file(1))
			case "/in/garbage":
				return join(uint32(7), "x")
			case "/in/huge":
				return make([]byte, 9<<20)
			}
			return nil
		},
	})
	seen, unread := b.seen(t)
	assert.Equal(t, []string{"a/f.csv", "m/f.csv", "z/f.csv"}, sortedPaths(seen))
	assert.EqualValues(t, 5, unread.Count)
	reasons := make(map[string]string)
	for _, f := range unread.Folders {
		reasons[f.Path] = f.Reason
	}
	for folder, reason := range map[string]string{
		"closed": "may not be read by user u", "endless": "more than 50 entries", "failing": "the server failed",
		"garbage": "malformed", "huge": "more than 8 MiB",
	} {
		assert.Contains(t, reasons["/in/"+folder], reason)
	}
	assert.Equal(t, 1, b.Requests("")[0].Conn, "one connection was used for all folders")
}

// TestInterruptedRoot checks that the error of a root folder whose listing fails in the
// middle has the number of entries before the failure.
func TestInterruptedRoot(t *testing.T) {
	t.Parallel()
	b := newBehaviorFixture(t, sftp.Config{})
	b.File("a/1.csv", "1")
	b.File("b.csv", "1")
	session := b.open(t)
	_, _, err := b.listing(t, session, ingest.ListRequest{}) // its end is EOF, not a failure
	require.NoError(t, err)
	b.SetFaults(services.TreeFaults{PerAnswer: 3, Request: func(r services.TreeRequest) uint32 {
		if r.Op == "READDIR" && len(b.Requests("READDIR"))%2 == 0 {
			return services.StatusFailure
		}
		return 0
	}})
	_, _, err = b.listing(t, session, ingest.ListRequest{})
	requireKind(t, err, ingest.KindTransient, "failed to list its root folder /in: it failed after 3 entries")
}

// TestUnexpectedReplies checks that the error of any request names a malformed reply.
func TestUnexpectedReplies(t *testing.T) {
	t.Parallel()
	b := newBehaviorFixture(t, sftp.Config{})
	b.File("a.csv", "1")
	b.SetFaults(services.TreeFaults{Request: func(r services.TreeRequest) uint32 {
		if r.Op == "LSTAT" || r.Op == "STAT" || r.Op == "OPENDIR" {
			return services.Pretend // OK is no reply with attributes or a handle
		}
		return 0
	}})
	_, err := b.open(t).Stat(deadline(t), "/in/a.csv")
	assert.Contains(t, ingest.Message(err), "reply of the wrong type")
	_, err = b.pool.Probe(deadline(t), b.server)
	assert.Contains(t, ingest.Message(err), "reply of the wrong type")
}

// TestLargeReplies checks replies above the 256 KiB limit of the SFTP client, as real
// servers send.
func TestLargeReplies(t *testing.T) {
	t.Parallel()
	const files = 12_000
	b := newBehaviorFixture(t, sftp.Config{})
	b.SetFaults(services.TreeFaults{Names: func(_ string, n int) []byte {
		if n > 0 {
			return nil
		}
		body := join(uint32(files))
		for i := range files {
			body = append(body, join(fmt.Sprintf("%080d.csv", i), strings.Repeat("l", 60), file(7))...)
		}
		return body
	}})
	seen, _ := b.seen(t)
	assert.Len(t, seen, files)
	f := seen[fmt.Sprintf("%080d.csv", 0)]
	assert.EqualValues(t, 7, f.Size)
	_, err := b.open(t).Stat(deadline(t), "/in")
	require.NoError(t, err, "the connection stays usable")
}

// TestTooLargePacketEndsConnection checks that a reply that is too large to be skipped ends
// the connection, with the cause, and that the next session gets another one.
func TestTooLargePacketEndsConnection(t *testing.T) {
	t.Parallel()
	b := newBehaviorFixture(t, sftp.Config{})
	for _, name := range []string{"a/1.csv", "b/2.csv", "c/3.csv"} {
		b.File(name, "1")
	}
	b.SetFaults(services.TreeFaults{Names: func(folder string, _ int) []byte {
		if folder == "/in/b" {
			return make([]byte, 65<<20)
		}
		return nil
	}})
	session := b.open(t)
	_, unread, err := b.listing(t, session, ingest.ListRequest{})
	requireKind(t, err, ingest.KindTransient, "/in/b", "more than 64 MiB")
	assert.Zero(t, unread.Count)
	require.NoError(t, session.Close())
	b.SetFaults(services.TreeFaults{})
	seen, _ := b.seen(t)
	assert.Len(t, seen, 3)
}

// TestPatternsPruneTheWalk checks that only folders with a possible match are opened.
func TestPatternsPruneTheWalk(t *testing.T) {
	t.Parallel()
	for glob, folders := range map[string][]string{
		"a/b/*.csv":       {"/in", "/in/a", "/in/a/b"},
		"*.csv":           {"/in"},
		"a/**/x.csv":      {"/in", "/in/a", "/in/a/b", "/in/a/b/c", "/in/a/d"},
		"{a,q}/*/x.csv":   {"/in", "/in/a", "/in/a/b", "/in/a/d", "/in/q"},
		"{a/b,q}/*.csv":   {"/in", "/in/a", "/in/a/b", "/in/a/b/c", "/in/a/d", "/in/q"},
		"[a-c]/d/x.csv":   {"/in", "/in/a", "/in/a/d"},
		"**/x.csv":        {"/in", "/in/a", "/in/a/b", "/in/a/b/c", "/in/a/d", "/in/q"},
		"a/b/c/none/*.md": {"/in", "/in/a", "/in/a/b", "/in/a/b/c"},
	} {
		b := newBehaviorFixture(t, sftp.Config{})
		for _, at := range []string{"x.csv", "a/x.csv", "a/b/x.csv", "a/b/c/x.csv", "a/d/x.csv", "q/x.csv"} {
			b.File(at, "1")
		}
		b.server.Include = []string{glob}
		_, _ = b.seen(t)
		var opened []string
		for _, r := range b.Requests("OPENDIR") {
			opened = append(opened, r.Path)
		}
		assert.ElementsMatch(t, folders, opened, glob)
	}
}

// TestLoops checks that a folder inside itself is detected before its files are listed
// twice.
func TestLoops(t *testing.T) {
	t.Parallel()
	for name, ways := range map[string]services.TreeFaults{
		"true paths":  {FollowsLinks: true},
		"plain paths": {FollowsLinks: true, PlainPaths: true},
		"no paths":    {FollowsLinks: true, Request: refuse(services.StatusUnsupported, "REALPATH")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBehaviorFixture(t, sftp.Config{})
			b.File("a.csv", "1")
			b.Link("loop", "/in")
			b.File("x/b.csv", "1")
			b.Link("x/to-y", "/in/y")
			b.File("y/c.csv", "1")
			b.Link("y/to-x", "/in/x")
			b.SetFaults(ways)
			seen, unread := b.seen(t)
			assert.Equal(t, []string{"a.csv", "x/b.csv", "x/to-y/c.csv", "y/c.csv", "y/to-x/b.csv"}, sortedPaths(seen))
			require.Len(t, unread.Folders, 3)
			assert.Contains(t, unread.Folders[0].Reason, "is the same folder as /in")
			assert.Less(t, len(b.Requests("OPENDIR")), 20+3*ingest.MaxDepth)
		})
	}
}

// TestSimilarFolders checks that folders with equal entries are not taken for loops.
func TestSimilarFolders(t *testing.T) {
	t.Parallel()
	for _, plain := range []bool{false, true} {
		b := newBehaviorFixture(t, sftp.Config{})
		deep := strings.Repeat("d/", 20) + "f.csv"
		b.File("a/a/a/f.csv", "1")
		b.File(deep, "1")
		b.SetFaults(services.TreeFaults{PlainPaths: plain})
		seen, unread := b.seen(t)
		assert.Equal(t, []string{"a/a/a/f.csv", deep}, sortedPaths(seen))
		assert.Zero(t, unread.Count)
	}
}

func TestFollowingLinks(t *testing.T) {
	t.Parallel()
	b := newBehaviorFixture(t, sftp.Config{})
	b.File("real/a.csv", "1234")
	b.File("../outside/secret.csv", "x")
	b.Link("file.csv", "/in/real/a.csv")
	b.Link("folder", "/in/real")
	b.Link("up", "/in")
	b.Link("out.csv", "/outside/secret.csv")
	b.Link("out", "/outside")
	b.Link("dangling.csv", "/in/none.csv")
	seen, _ := b.seen(t)
	assert.Equal(t, []string{"dangling.csv", "file.csv", "folder", "out", "out.csv", "real/a.csv", "up"}, sortedPaths(seen))
	assert.Contains(t, seen["file.csv"].Rejected, "not followed")

	b.server.FollowLinks = true
	seen, unread := b.seen(t)
	assert.Equal(t, []string{"dangling.csv", "file.csv", "folder/a.csv", "out", "out.csv", "real/a.csv"}, sortedPaths(seen))
	assert.Empty(t, seen["file.csv"].Rejected)
	assert.EqualValues(t, 4, seen["file.csv"].Size)
	assert.Contains(t, seen["out.csv"].Rejected, "to a target outside the root folder")
	assert.Contains(t, seen["out"].Rejected, "to a target outside the root folder")
	assert.Contains(t, seen["dangling.csv"].Rejected, "cannot be followed")
	require.Len(t, unread.Folders, 1)
	assert.Equal(t, ingest.UnreadFolder{Path: "/in/up", Reason: "is the same folder as /in"}, unread.Folders[0])

	s, ctx := b.open(t), deadline(t)
	f, err := s.OpenFile(ctx, "/in/file.csv")
	require.NoError(t, err)
	require.NoError(t, f.Close())
	_, err = s.OpenFile(ctx, "/in/out.csv")
	requireKind(t, err, ingest.KindChanged, "outside the root folder")
	b.SetFaults(services.TreeFaults{Request: refuse(services.StatusUnsupported, "REALPATH")})
	_, err = b.open(t).OpenFile(ctx, "/in/file.csv")
	requireKind(t, err, ingest.KindChanged, "cannot be followed")
}

func TestRootBelowHome(t *testing.T) {
	t.Parallel()
	b := newBehaviorFixture(t, sftp.Config{})
	b.File("../sub/a.csv", "1234") // the home folder is "/"
	b.File("../sub/old/b.csv", "1")
	b.server.RootPath, b.server.Include, b.server.Exclude = "~/sub", []string{"**/*.csv"}, []string{"old"}
	seen, _ := b.seen(t)
	assert.Equal(t, []string{"/sub/a.csv"}, sortedPaths(seen))
	assert.Len(t, b.Requests("REALPATH"), 1)

	probe, err := b.pool.Probe(deadline(t), b.server)
	require.NoError(t, err)
	assert.Equal(t, 2, probe.Entries)

	b.SetFaults(services.TreeFaults{Request: refuse(services.StatusUnsupported, "REALPATH")})
	b.server.Name, b.server.UUID = "other", uuid.NewString()
	_, _, err = b.listing(t, b.open(t), ingest.ListRequest{})
	require.NoError(t, err)
	opened := b.Requests("OPENDIR")
	assert.Equal(t, "sub", opened[len(opened)-1].Path, "relative to the home folder")
}

// TestListingResumes checks that a listing completes on a server that cuts connections,
// because each attempt resumes at the folder of the last one.
func TestListingResumes(t *testing.T) {
	t.Parallel()
	b := newBehaviorFixture(t, sftp.Config{})
	var want []string
	for i := range 10 {
		for j := range 5 {
			at := fmt.Sprintf("%d/%d/f.csv", i, j)
			b.File(at, "1")
			want = append(want, at)
		}
	}
	b.SetFaults(services.TreeFaults{Request: func(r services.TreeRequest) uint32 {
		if r.N > 30 {
			return services.CutConnection
		}
		return 0
	}})
	seen, folder, listings := make(map[string]int), "", 0
	for {
		listings++
		require.Less(t, listings, 30)
		session := b.open(t)
		_, err := session.List(deadline(t), ingest.ListRequest{From: folder, Entered: func(at string, _, _ ingest.Unread) { folder = at }},
			func(o ingest.Observation) error { seen[strings.TrimPrefix(o.Path, "/in/")]++; return nil })
		require.NoError(t, session.Close())
		if err == nil {
			break
		}
		requireKind(t, err, ingest.KindTransient)
	}
	assert.Equal(t, want, slices.Sorted(maps.Keys(seen)))
	assert.Greater(t, listings, 5)
	for at, times := range seen {
		assert.Equal(t, 1, times, at)
	}

	b.SetFaults(services.TreeFaults{})
	got, unread, err := b.listing(t, b.open(t), ingest.ListRequest{From: "9/3", GiveUp: "cuts the connection"})
	require.NoError(t, err)
	assert.Equal(t, []string{"9/4/f.csv"}, sortedPaths(got))
	assert.Equal(t, []ingest.UnreadFolder{{Path: "/in/9/3", Reason: "cuts the connection"}}, unread.Folders)
}

// TestServerAnswerTimeout checks that the server's AnswerTimeout overrides the configured one.
func TestServerAnswerTimeout(t *testing.T) {
	t.Parallel()
	b := newBehaviorFixture(t, sftp.Config{AnswerTimeout: time.Hour})
	b.server.AnswerTimeout = ingest.Duration(time.Second)
	hold := make(chan struct{})
	var once sync.Once
	defer once.Do(func() { close(hold) })
	b.SetFaults(services.TreeFaults{Request: func(services.TreeRequest) uint32 { <-hold; return 0 }})
	_, err := b.open(t).List(deadline(t), ingest.ListRequest{}, func(ingest.Observation) error { return nil })
	requireKind(t, err, ingest.KindTransient, "sent no data for 1s")
}

// heapPeak runs fn and returns the maximum growth of the heap in MiB.
func heapPeak(fn func()) float64 {
	var before, now runtime.MemStats
	defer debug.SetGCPercent(debug.SetGCPercent(10)) // garbage is not what is measured
	runtime.GC()
	runtime.ReadMemStats(&before)
	done, stopped, peak := make(chan struct{}), make(chan struct{}), uint64(0)
	go func() {
		defer close(stopped)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				runtime.ReadMemStats(&now)
				peak = max(peak, now.HeapAlloc)
			}
		}
	}()
	fn()
	close(done)
	<-stopped
	return (float64(peak) - float64(before.HeapAlloc)) / (1 << 20)
}

// TestMemoryIsBounded checks the memory for deep folders with long names, for many
// entries, and for endless names and attributes.
func TestMemoryIsBounded(t *testing.T) { //nolint:paralleltest // it measures the process's heap
	b := newBehaviorFixture(t, sftp.Config{MaxBytesPerFolder: 16 << 20})
	b.File("long/f", "1")
	b.SetFaults(services.TreeFaults{Names: func(folder string, n int) []byte {
		long := strings.Repeat("n", 1000)
		switch depth := strings.Count(folder, "/"); {
		case n >= 20_000:
			return nil
		case folder == "/in/padded":
			extended := join(uint32(flagSize|1<<31), uint64(1), uint32(1), "k", strings.Repeat("v", 200_000))
			return join(uint32(1), fmt.Sprint(n), strings.Repeat("l", 50_000), extended)
		case folder == "/in/wide":
			return join(uint32(1), fmt.Sprint(n)+strings.Repeat("w", 200_000), "", file(1))
		case folder == "/in" && n == 0:
			dir := join(uint32(flagSize|flagMode), uint64(0), uint32(0o040755))
			return join(uint32(3), "padded", "", dir, "wide", "", dir, long, "", dir)
		case folder == "/in" || n > 0 && depth < 4:
			return binary.BigEndian.AppendUint32(nil, 0)
		case depth < 4:
			return join(uint32(1), long, "", join(uint32(flagSize|flagMode), uint64(0), uint32(0o040755)))
		default:
			body := join(uint32(100))
			for i := range 100 {
				body = append(body, join(fmt.Sprintf("%x", n*100+i), "", file(1))...)
			}
			return body
		}
	}, Request: func(r services.TreeRequest) uint32 {
		if r.Op == "OPENDIR" {
			b.Folder("../" + r.Path)
		}
		return 0
	}})
	session := b.open(t)
	var unread ingest.Unread
	var seen int
	peak := heapPeak(func() {
		var err error
		unread, err = session.List(deadline(t), ingest.ListRequest{}, func(ingest.Observation) error { seen++; return nil })
		require.NoError(t, err)
	})
	t.Logf("%d entries, peak %.0f MiB, %v", seen, peak, unread.Count)
	assert.EqualValues(t, 3, unread.Count)
	// 4 GB were sent. The peak includes uncollected garbage.
	assert.Less(t, peak, 256.0)
}
