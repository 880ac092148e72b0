package sftp_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"stevedore/internal/ingest"
	"stevedore/internal/sftp"
	"stevedore/internal/test/services"
)

// attributes returns attributes with size, permissions and times.
func attributes(size uint64, mode, mtime uint32) []byte {
	return join(uint32(flagSize|flagMode|8), size, mode, mtime, mtime)
}

func plain(size uint64) []byte { return attributes(size, 0o100644, 1_700_000_000) }

// pages returns the bodies as replies to READDIR of /in in order, then EOF.
func pages(bodies ...[]byte) func(string, int) []byte {
	return func(folder string, n int) []byte {
		if folder == "/in" && n < len(bodies) {
			return bodies[n]
		}
		return nil
	}
}

func repeated(body []byte, n int, rest ...[]byte) [][]byte {
	return append(slices.Repeat([][]byte{body}, n), rest...)
}

// TestUnusualListings checks that unusual listings are read as intended.
func TestUnusualListings(t *testing.T) {
	t.Parallel()
	empty, a := join(uint32(0)), join(uint32(1), "a.csv", "", plain(7))
	dots := join(uint32(2), ".", "", attributes(0, 0o040755, 1), "..", "", attributes(0, 0o040755, 1))
	long := func(form string) []byte { return join(uint32(1), "a.csv", form, join(uint32(flagSize), uint64(7))) }
	for name, tc := range map[string]struct {
		names func(string, int) []byte
		// seen are the expected names, size the expected size of a.csv.
		seen []string
		size int64
	}{
		"empty replies first":               {pages(repeated(empty, 20, a)...), []string{"a.csv"}, 7},
		"empty replies in between":          {pages(slices.Concat([][]byte{join(uint32(1), "b.csv", "", plain(7))}, repeated(empty, 20, a))...), []string{"a.csv", "b.csv"}, 7},
		"replies with dots only":            {pages(repeated(dots, 20, a)...), []string{"a.csv"}, 7},
		"the same reply for ever":           {func(string, int) []byte { return a }, []string{"a.csv"}, 7},
		"paths instead of names":            {pages(join(uint32(1), "/in/a.csv", "", plain(7))), []string{"a.csv"}, 7},
		"names with ./":                     {pages(join(uint32(1), "./a.csv", "", plain(7))), []string{"a.csv"}, 7},
		"twice, as a path and a name":       {pages(a, join(uint32(1), "/in/a.csv", "", plain(8))), []string{"a.csv"}, 7},
		"twice, with two sizes":             {pages(a, join(uint32(1), "a.csv", "", plain(8))), []string{"a.csv"}, 7},
		"bytes after the names":             {pages(append(slices.Clone(a), 1, 2, 3)), []string{"a.csv"}, 7},
		"names that differ in case":         {pages(join(uint32(2), "a.csv", "", plain(7), "A.CSV", "", plain(8))), []string{"A.CSV", "a.csv"}, 7},
		"names in two Unicode forms":        {pages(join(uint32(2), "a\u00e9.csv", "", plain(7), "ae\u0301.csv", "", plain(7))), []string{"ae\u0301.csv", "a\u00e9.csv"}, 0},
		"MS-DOS long form":                  {pages(long("01-02-26  10:00AM                 7 a.csv")), []string{"a.csv"}, 7},
		"VMS long form":                     {pages(long("A.CSV;1              1/4   2-JAN-2026 10:00:00  [U,G]  (RWED,RE,,)")), []string{"a.csv"}, 7},
		"NetWare long form":                 {pages(long("- [RWCEAFMS] u                     7 Jan 02 10:00 a.csv")), []string{"a.csv"}, 7},
		"MVS long form":                     {pages(long("WRKVOL 3390   2026/01/02  1    1  FB      80  8000  PS  A.CSV")), []string{"a.csv"}, 7},
		"long form of another name":         {pages(join(uint32(1), "a.csv", "drwxr-xr-x 2 u g 7 Jan 2 10:00 other", plain(7))), []string{"a.csv"}, 7},
		"a huge long form":                  {pages(join(uint32(1), "a.csv", strings.Repeat("x", 1<<20), plain(7))), []string{"a.csv"}, 7},
		"many extended attributes":          {pages(join(uint32(1), "a.csv", "", extended(20_000, 20))), []string{"a.csv"}, 7},
		"a large extended attribute":        {pages(join(uint32(1), "a.csv", "", extended(1, 1<<20))), []string{"a.csv"}, 7},
		"a folder with a trailing '/'":      {pages(join(uint32(1), "sub/", "", attributes(0, 0o040755, 1))), []string{"sub/b.csv"}, 0},
		"a file that is listed as a folder": {pages(join(uint32(2), "a.csv", "", attributes(7, 0o040644, 1), "b.csv", "", plain(7))), []string{"b.csv"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBehaviorFixture(t, sftp.Config{})
			b.File("a.csv", "1234567")
			b.File("sub/b.csv", "1")
			b.SetFaults(services.TreeFaults{Names: tc.names})
			seen, unread := b.seen(t)
			want := slices.Clone(tc.seen)
			if slices.Contains(sortedPaths(seen), "sub/b.csv") && !slices.Contains(want, "sub/b.csv") {
				want = append(want, "sub/b.csv") // the default listing follows the test's pages
			}
			if slices.Contains(sortedPaths(seen), "a.csv") && !slices.Contains(want, "a.csv") {
				want = append(want, "a.csv")
			}
			slices.Sort(want)
			assert.Equal(t, want, sortedPaths(seen))
			for at, o := range seen {
				assert.Empty(t, o.Rejected, at)
			}
			if tc.size > 0 {
				assert.Equal(t, tc.size, seen["a.csv"].Size)
			}
			if name == "a file that is listed as a folder" {
				require.Len(t, unread.Folders, 1)
				assert.Equal(t, "/in/a.csv", unread.Folders[0].Path)
			} else {
				assert.Zero(t, unread.Count, "%v", unread)
			}
		})
	}
}

// extended returns attributes with a number of extended pairs of the given size.
func extended(pairs, bytes int) []byte {
	body := join(uint32(flagSize|flagMode|8|0x80000000), uint64(7), uint32(0o100644), uint32(1_700_000_000), uint32(1_700_000_000), uint32(pairs))
	for range pairs {
		body = append(body, join("k", strings.Repeat("v", bytes))...)
	}
	return body
}

// TestNamesLikePaths checks that names that resemble a path of the folder are rejected.
func TestNamesLikePaths(t *testing.T) {
	t.Parallel()
	b := newBehaviorFixture(t, sftp.Config{})
	odd := []string{"/in/../etc/passwd", "./../x", "/in//a", "/in/sub/a", "/inside", "//", "./", "/in/", "x/", "././a"}
	body := join(uint32(len(odd)))
	for _, name := range odd {
		body = append(body, join(name, "", plain(1))...)
	}
	b.SetFaults(services.TreeFaults{Names: pages(body)})
	seen, _ := b.seen(t)
	assert.Len(t, seen, len(odd), "%v", sortedPaths(seen))
	for at, o := range seen {
		assert.NotEmpty(t, o.Rejected, "%q", at)
	}
}

// TestExtremeTimes checks that implausible times are kept unchanged.
func TestExtremeTimes(t *testing.T) {
	t.Parallel()
	b := newBehaviorFixture(t, sftp.Config{})
	times := []uint32{0, 1, 1<<31 - 1, 1 << 31, 1<<32 - 1}
	body := join(uint32(len(times)))
	for _, at := range times {
		body = append(body, join(fmt.Sprint(at), "", attributes(1, 0o100644, at))...)
	}
	b.SetFaults(services.TreeFaults{Names: pages(body)})
	seen, _ := b.seen(t)
	for _, at := range times {
		assert.EqualValues(t, at, seen[fmt.Sprint(at)].ModTime.Unix())
	}
	assert.Equal(t, 2106, seen[fmt.Sprint(times[4])].ModTime.Year())
}

// TestRepliesOfWrongType checks that wrong and malformed replies fail the listing of the
// folder without a hang or made-up entries.
func TestRepliesOfWrongType(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]hostile{
		"OK to OPENDIR":                   {fxpOpendir: status(statusOK)},
		"names to OPENDIR":                {fxpOpendir: always(fxpName, uint32(0))},
		"attributes to READDIR":           {fxpOpendir: always(fxpHandle, "h"), fxpReaddir: always(fxpAttrs, file(1))},
		"a truncated handle":              {fxpOpendir: always(fxpHandle, uint32(9), []byte("h"))},
		"truncated names":                 {fxpOpendir: always(fxpHandle, "h"), fxpReaddir: always(fxpName, uint32(2), "a", "", file(1))},
		"truncated attributes":            {fxpOpendir: always(fxpHandle, "h"), fxpReaddir: always(fxpName, uint32(1), "a", "", uint32(flagSize))},
		"a wrong count of extended pairs": {fxpOpendir: always(fxpHandle, "h"), fxpReaddir: always(fxpName, uint32(1), "a", "", uint32(0x80000000), uint32(1<<31))},
		"a wrong name length":             {fxpOpendir: always(fxpHandle, "h"), fxpReaddir: always(fxpName, uint32(1), uint32(1<<31), []byte("a"))},
		"an empty reply":                  {fxpOpendir: always(fxpHandle, "h"), fxpReaddir: always(fxpName)},
		"a status without its code":       {fxpOpendir: always(fxpHandle, "h"), fxpReaddir: always(fxpStatus)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seen := 0
			_, err := openHostile(t, sftp.Config{AnswerTimeout: 20 * time.Second}, h).
				List(deadline(t), ingest.ListRequest{}, func(ingest.Observation) error { seen++; return nil })
			require.Error(t, err)
			assert.Zero(t, seen)
			assert.NotContains(t, err.Error(), "sent no data")
		})
	}
}

// TestOKWithoutData checks that the status OK in place of data is a failure: the client
// returns a nil file for it.
func TestOKWithoutData(t *testing.T) {
	t.Parallel()
	correct := hostile{fxpLstat: always(fxpAttrs, file(1)), fxpOpen: always(fxpHandle, "h"), fxpFstat: always(fxpAttrs, file(1)), fxpRead: always(fxpData, "x")}
	for _, tc := range []struct {
		request byte
		fails   bool
	}{{fxpOpen, true}, {fxpRead, true}, {fxpFstat, false}} {
		t.Run(fmt.Sprint(tc.request), func(t *testing.T) {
			t.Parallel()
			h := maps.Clone(correct)
			h[tc.request] = status(statusOK)
			remote, err := openHostile(t, sftp.Config{}, h).OpenFile(deadline(t), "/in/a")
			if err == nil {
				_, err = remote.ReadAt(make([]byte, 1), 0)
			}
			if !tc.fails { // the session works without FSTAT
				require.NoError(t, err)
				return
			}
			requireKind(t, err, ingest.KindTransient)
			assert.ErrorContains(t, err, "OK without data")
		})
	}
}

// TestHandlesOfAllSizes checks that handles are opaque bytes of any length.
func TestHandlesOfAllSizes(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 256, 100_000} {
		handle := strings.Repeat("\x00", size)
		session := openHostile(t, sftp.Config{}, hostile{fxpOpendir: always(fxpHandle, handle), fxpReaddir: names(uint32(1), "a", "", file(1))})
		seen, unread := list(t, session, "/in")
		assert.Len(t, seen, 1)
		assert.Zero(t, unread)
	}
}

// TestUnsolicitedReplies checks that a reply with an unknown id, or a second reply, ends
// the connection, because further replies cannot be attributed.
func TestUnsolicitedReplies(t *testing.T) {
	t.Parallel()
	for name, corrupt := range map[string]func(packet []byte) [][]byte{
		"another id": func(p []byte) [][]byte { q := slices.Clone(p); q[8]++; return [][]byte{q} },
		"twice":      func(p []byte) [][]byte { return [][]byte{p, p} },
		"no id":      func([]byte) [][]byte { return [][]byte{{0, 0, 0, 1, fxpName}} },
		"no length":  func([]byte) [][]byte { return [][]byte{{0, 0, 0, 0}} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := hostile{fxpOpendir: always(fxpHandle, "h"), fxpReaddir: names(uint32(1), "a", "", file(1))}
			server := fakeSSH(t, password(), func(c ssh.Channel) { h.serve(&corruptingChannel{Channel: c, corrupt: corrupt}) })
			session := open(t, newPool(t, sftp.Config{AnswerTimeout: 20 * time.Second}, secrets{Password: []byte("pw")}), server)
			_, err := session.List(deadline(t), ingest.ListRequest{}, func(ingest.Observation) error { return nil })
			requireKind(t, err, ingest.KindTransient)
			assert.NotContains(t, err.Error(), "sent no data")
		})
	}
}

// corruptingChannel replaces each NAME packet.
type corruptingChannel struct {
	ssh.Channel
	corrupt func([]byte) [][]byte
}

func (s *corruptingChannel) Write(p []byte) (int, error) {
	if len(p) < 9 || p[4] != fxpName {
		return s.Channel.Write(p)
	}
	for _, packet := range s.corrupt(p) {
		if _, err := s.Channel.Write(packet); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// TestFolderBecomesFile checks that a folder replaced by a file before its listing does
// not affect the others.
func TestFolderBecomesFile(t *testing.T) {
	t.Parallel()
	b := newBehaviorFixture(t, sftp.Config{})
	b.File("a/f.csv", "1")
	b.File("b/f.csv", "1")
	var once sync.Once
	b.SetFaults(services.TreeFaults{Request: func(r services.TreeRequest) uint32 {
		if r.Op == "OPENDIR" && r.Path == "/in/a" {
			once.Do(func() { b.Drop("a/f.csv"); b.File("a", "123") })
		}
		return 0
	}})
	seen, unread := b.seen(t)
	assert.Equal(t, []string{"b/f.csv"}, sortedPaths(seen))
	assert.EqualValues(t, 1, unread.Count)
	seen, unread = b.seen(t)
	assert.Equal(t, []string{"a", "b/f.csv"}, sortedPaths(seen))
	assert.Zero(t, unread.Count)
}
