package sftp_test

import (
	"fmt"
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

// attributes with a size, a type and a time.
func attributes(size uint64, mode, mtime uint32) []byte {
	return join(uint32(flagSize|flagMode|8), size, mode, mtime, mtime)
}

func plain(size uint64) []byte { return attributes(size, 0o100644, 1_700_000_000) }

// pages answers READDIR of /in with these bodies, one after another, nil for the end.
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

// Each way to list odd things is read as it is meant, and costs nothing else.
func TestOddListings(t *testing.T) {
	t.Parallel()
	empty, a := join(uint32(0)), join(uint32(1), "a.csv", "", plain(7))
	dots := join(uint32(2), ".", "", attributes(0, 0o040755, 1), "..", "", attributes(0, 0o040755, 1))
	long := func(form string) []byte { return join(uint32(1), "a.csv", form, join(uint32(flagSize), uint64(7))) }
	for name, tc := range map[string]struct {
		names func(string, int) []byte
		// seen are the names; unread says why the root or a folder is not read.
		seen []string
		size int64
	}{
		"empty answers first":               {pages(repeated(empty, 20, a)...), []string{"a.csv"}, 7},
		"empty answers between":             {pages(slices.Concat([][]byte{join(uint32(1), "b.csv", "", plain(7))}, repeated(empty, 20, a))...), []string{"a.csv", "b.csv"}, 7},
		"answers with dots only":            {pages(repeated(dots, 20, a)...), []string{"a.csv"}, 7},
		"the same answer for ever":          {func(string, int) []byte { return a }, []string{"a.csv"}, 7},
		"paths for names":                   {pages(join(uint32(1), "/in/a.csv", "", plain(7))), []string{"a.csv"}, 7},
		"names with ./":                     {pages(join(uint32(1), "./a.csv", "", plain(7))), []string{"a.csv"}, 7},
		"twice, as a path and a name":       {pages(a, join(uint32(1), "/in/a.csv", "", plain(8))), []string{"a.csv"}, 7},
		"twice, with two sizes":             {pages(a, join(uint32(1), "a.csv", "", plain(8))), []string{"a.csv"}, 7},
		"bytes behind the names":            {pages(append(slices.Clone(a), 1, 2, 3)), []string{"a.csv"}, 7},
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
		"a folder with a '/' behind it":     {pages(join(uint32(1), "sub/", "", attributes(0, 0o040755, 1))), []string{"sub/b.csv"}, 0},
		"a file that is listed as a folder": {pages(join(uint32(2), "a.csv", "", attributes(7, 0o040644, 1), "b.csv", "", plain(7))), []string{"b.csv"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newOddBench(t, sftp.Config{})
			b.File("a.csv", "1234567")
			b.File("sub/b.csv", "1")
			b.Be(services.OddWays{Names: tc.names})
			seen, unread := b.seen(t)
			want := slices.Clone(tc.seen)
			if slices.Contains(namesOf(seen), "sub/b.csv") && !slices.Contains(want, "sub/b.csv") {
				want = append(want, "sub/b.csv") // behind the odd pages comes the honest one
			}
			if slices.Contains(namesOf(seen), "a.csv") && !slices.Contains(want, "a.csv") {
				want = append(want, "a.csv")
			}
			slices.Sort(want)
			assert.Equal(t, want, namesOf(seen))
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

// extended are attributes with so many pairs of so many bytes.
func extended(pairs, bytes int) []byte {
	body := join(uint32(flagSize|flagMode|8|0x80000000), uint64(7), uint32(0o100644), uint32(1_700_000_000), uint32(1_700_000_000), uint32(pairs))
	for range pairs {
		body = append(body, join("k", strings.Repeat("v", bytes))...)
	}
	return body
}

// Names that only look like paths of the folder lead nowhere else.
func TestNamesAroundNames(t *testing.T) {
	t.Parallel()
	b := newOddBench(t, sftp.Config{})
	odd := []string{"/in/../etc/passwd", "./../x", "/in//a", "/in/sub/a", "/inside", "//", "./", "/in/", "x/", "././a"}
	body := join(uint32(len(odd)))
	for _, name := range odd {
		body = append(body, join(name, "", plain(1))...)
	}
	b.Be(services.OddWays{Names: pages(body)})
	seen, _ := b.seen(t)
	assert.Len(t, seen, len(odd), "%v", namesOf(seen))
	for at, o := range seen {
		assert.NotEmpty(t, o.Rejected, "%q", at)
	}
}

// Times that nobody can mean are taken as they are.
func TestTimesOutOfMind(t *testing.T) {
	t.Parallel()
	b := newOddBench(t, sftp.Config{})
	times := []uint32{0, 1, 1<<31 - 1, 1 << 31, 1<<32 - 1}
	body := join(uint32(len(times)))
	for _, at := range times {
		body = append(body, join(fmt.Sprint(at), "", attributes(1, 0o100644, at))...)
	}
	b.Be(services.OddWays{Names: pages(body)})
	seen, _ := b.seen(t)
	for _, at := range times {
		assert.EqualValues(t, at, seen[fmt.Sprint(at)].ModTime.Unix())
	}
	assert.Equal(t, 2106, seen[fmt.Sprint(times[4])].ModTime.Year())
}

// An answer of another kind than asked for, or none that can be, costs its folder, and
// if it is the root's the listing: nothing hangs and nothing is made up.
func TestAnswersOfAnotherKind(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]hostile{
		"OK to OPENDIR":             {fxpOpendir: status(statusOK)},
		"names to OPENDIR":          {fxpOpendir: always(fxpName, uint32(0))},
		"attributes to READDIR":     {fxpOpendir: always(fxpHandle, "h"), fxpReaddir: always(fxpAttrs, file(1))},
		"a handle that is cut":      {fxpOpendir: always(fxpHandle, uint32(9), []byte("h"))},
		"names that are cut":        {fxpOpendir: always(fxpHandle, "h"), fxpReaddir: always(fxpName, uint32(2), "a", "", file(1))},
		"attributes that are cut":   {fxpOpendir: always(fxpHandle, "h"), fxpReaddir: always(fxpName, uint32(1), "a", "", uint32(flagSize))},
		"extended pairs that lie":   {fxpOpendir: always(fxpHandle, "h"), fxpReaddir: always(fxpName, uint32(1), "a", "", uint32(0x80000000), uint32(1<<31))},
		"a name longer than it is":  {fxpOpendir: always(fxpHandle, "h"), fxpReaddir: always(fxpName, uint32(1), uint32(1<<31), []byte("a"))},
		"an empty answer":           {fxpOpendir: always(fxpHandle, "h"), fxpReaddir: always(fxpName)},
		"a status without its code": {fxpOpendir: always(fxpHandle, "h"), fxpReaddir: always(fxpStatus)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seen := 0
			_, err := openHostile(t, sftp.Config{NoProgress: 20 * time.Second}, h).
				List(deadline(t), ingest.ListRequest{}, func(ingest.Observation) error { seen++; return nil })
			require.Error(t, err)
			assert.Zero(t, seen)
			assert.NotContains(t, err.Error(), "sent no data")
		})
	}
}

// Handles are bytes of the server's choice, also none, and all the same.
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

// An answer to a question that was not asked, or a second one, ends the connection: whose
// the others are nobody knows.
func TestAnswersThatNobodyAskedFor(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(packet []byte) [][]byte{
		"another id": func(p []byte) [][]byte { q := slices.Clone(p); q[8]++; return [][]byte{q} },
		"twice":      func(p []byte) [][]byte { return [][]byte{p, p} },
		"no id":      func([]byte) [][]byte { return [][]byte{{0, 0, 0, 1, fxpName}} },
		"no length":  func([]byte) [][]byte { return [][]byte{{0, 0, 0, 0}} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := hostile{fxpOpendir: always(fxpHandle, "h"), fxpReaddir: names(uint32(1), "a", "", file(1))}
			server := fakeSSH(t, password(), func(c ssh.Channel) { h.serve(&spoiling{Channel: c, spoil: spoil}) })
			session := open(t, newPool(t, sftp.Config{NoProgress: 20 * time.Second}, secrets{Password: []byte("pw")}), server)
			_, err := session.List(deadline(t), ingest.ListRequest{}, func(ingest.Observation) error { return nil })
			requireKind(t, err, ingest.KindTransient)
			assert.NotContains(t, err.Error(), "sent no data")
		})
	}
}

// spoiling spoils each NAME packet.
type spoiling struct {
	ssh.Channel
	spoil func([]byte) [][]byte
}

func (s *spoiling) Write(p []byte) (int, error) {
	if len(p) < 9 || p[4] != fxpName {
		return s.Channel.Write(p)
	}
	for _, packet := range s.spoil(p) {
		if _, err := s.Channel.Write(packet); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// A folder that becomes a file between its listing and its turn costs itself only.
func TestAFolderThatBecomesAFile(t *testing.T) {
	t.Parallel()
	b := newOddBench(t, sftp.Config{})
	b.File("a/f.csv", "1")
	b.File("b/f.csv", "1")
	var once sync.Once
	b.Be(services.OddWays{Request: func(r services.OddRequest) uint32 {
		if r.Op == "OPENDIR" && r.Path == "/in/a" {
			once.Do(func() { b.Drop("a/f.csv"); b.File("a", "123") })
		}
		return 0
	}})
	seen, unread := b.seen(t)
	assert.Equal(t, []string{"b/f.csv"}, namesOf(seen))
	assert.EqualValues(t, 1, unread.Count)
	seen, unread = b.seen(t)
	assert.Equal(t, []string{"a", "b/f.csv"}, namesOf(seen))
	assert.Zero(t, unread.Count)
}
