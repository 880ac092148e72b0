package demo

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// good returns the ledger of a successful demo: two files, one of which was listed while
// it grew, a file of an earlier run and a file of another server.
func good() ledger {
	return ledger{
		want: []version{
			{server: "acme", path: "/r/plain.csv", size: 10, digest: "aa"},
			{server: "globex", path: "/r/grows.log", size: 30, digest: "cc"},
		},
		growing: "/r/grows.log",
		before:  map[string]bool{"old": true},
		rows: []row{
			{FileUUID: "1", Server: "acme", RemotePath: "/r/plain.csv", SizeBytes: 10, Status: "completed", FileHash: "aa", ObjectKey: "k1"},
			{FileUUID: "2", Server: "globex", RemotePath: "/r/grows.log", SizeBytes: 12, Status: "superseded", ObjectKey: "k2"},
			{FileUUID: "3", Server: "globex", RemotePath: "/r/grows.log", SizeBytes: 20, Status: "discovered"},
			{FileUUID: "4", Server: "globex", RemotePath: "/r/grows.log", SizeBytes: 30, Status: "completed", FileHash: "cc", ObjectKey: "k4"},
			{FileUUID: "old", Server: "globex", RemotePath: "/r/grows.log", SizeBytes: 29, Status: "completed", FileHash: "c0", ObjectKey: "k0"},
			{FileUUID: "5", Server: "partner", RemotePath: "/x", SizeBytes: 5, Status: "uploading", ObjectKey: "k5"},
			{FileUUID: "6", Server: "partner", RemotePath: "/y", SizeBytes: 5, Status: "completed", FileHash: "f", ObjectKey: "deleted"},
		},
		objects: map[string]bool{"k1": true, "k4": true, "k0": true, "k5": true},
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	add := func(r row, key string) func(*ledger) {
		return func(l *ledger) {
			r.FileUUID, r.ObjectKey = "new", key
			l.rows = append(l.rows, r)
			if key != "" {
				l.objects[key] = true
			}
		}
	}
	grows := row{Server: "globex", RemotePath: "/r/grows.log", SizeBytes: 12}
	with := func(r row, status, hash string) row { r.Status, r.FileHash = status, hash; return r }
	for name, c := range map[string]struct {
		change func(*ledger)
		want   string // in the error; empty when all is well
	}{
		"all is well":                       {func(*ledger) {}, ""},
		"a half-written version was taken":  {add(with(grows, "completed", "c1"), "k"), "unexpected row: globex:/r/grows.log"},
		"one is being taken":                {add(with(grows, "downloading", ""), ""), "unexpected row"},
		"one was read, then superseded":     {add(with(grows, "superseded", "c1"), ""), "unexpected row"},
		"one failed":                        {add(with(grows, "error", ""), ""), "unexpected row"},
		"one has vanished":                  {add(with(grows, "vanished", ""), ""), "unexpected row"},
		"a checksum file was taken":         {add(row{Server: "acme", RemotePath: "/r/plain.csv.sha256", Status: "completed", FileHash: "5"}, "k"), "unexpected row: acme:/r/plain.csv.sha256"},
		"a checksum file was only seen":     {add(row{Server: "acme", RemotePath: "/r/plain.csv.sha256", Status: "discovered"}, ""), "unexpected row"},
		"a plain file was seen growing":     {add(row{Server: "acme", RemotePath: "/r/plain.csv", SizeBytes: 4, Status: "superseded"}, ""), "unexpected row"},
		"taken twice":                       {add(row{Server: "acme", RemotePath: "/r/plain.csv", SizeBytes: 10, Status: "completed", FileHash: "aa"}, "k"), "2 completed rows"},
		"taken again, with another content": {add(row{Server: "acme", RemotePath: "/r/plain.csv", SizeBytes: 10, Status: "completed", FileHash: "ab"}, "k"), "unexpected row"},
		"not taken":                         {func(l *ledger) { l.rows[0].Status = "error" }, "acme:/r/plain.csv: 0 completed rows"},
		"another content":                   {func(l *ledger) { l.rows[0].FileHash = "ab" }, "0 completed rows"},
		"another size":                      {func(l *ledger) { l.rows[3].SizeBytes = 31 }, "0 completed rows"},
		"no object":                         {func(l *ledger) { delete(l.objects, "k1") }, `object "k1" is not in the bucket`},
		"no object from earlier":            {func(l *ledger) { delete(l.objects, "k0") }, `object "k0" is not in the bucket`},
		"two rows share an object":          {func(l *ledger) { l.rows[3].ObjectKey = "k1" }, "object k1 belongs to 2 files"},
		"an object without a row":           {func(l *ledger) { l.objects["k9"] = true }, "object k9 belongs to 0 files"},
		"an object of a passing version":    {func(l *ledger) { l.objects["k2"] = true }, "object k2 belongs to 0 files"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := good()
			c.change(&l)
			taken, wrong := l.check()
			switch {
			case c.want == "" && len(wrong) > 0:
				t.Error(errors.Join(wrong...))
			case c.want == "" && len(taken) != len(l.want):
				t.Errorf("%d rows are to be read back, want %d", len(taken), len(l.want))
			case c.want != "" && !strings.Contains(errors.Join(append(wrong, errors.New(""))...).Error(), c.want):
				t.Errorf("%q is not in %v", c.want, wrong)
			}
		})
	}
}

// TestListFiles: the result has all files on the server except checksum files of the
// samples.
func TestListFiles(t *testing.T) {
	t.Parallel()
	root := filepath.Join(t.TempDir(), "files")
	all := []sample{
		{server: "acme", path: "a/signed.dat", size: 100, sidecar: true},
		{server: "acme", path: "empty", size: 0},
		{server: "globex", path: "elsewhere", size: 5},
	}
	for range 2 { // the second time nothing is written
		for _, s := range all[:2] {
			if err := s.write(root); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.WriteFile(filepath.Join(root, "other.sha256"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	found, err := listFiles("acme", root, all)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, v := range found {
		names = append(names, strings.TrimPrefix(v.path, root+"/"))
	}
	if got := strings.Join(names, " "); got != "a/signed.dat empty other.sha256" {
		t.Errorf("offered: %s", got)
	}
	if err := os.Remove(filepath.Join(root, "empty")); err != nil {
		t.Fatal(err)
	}
	if _, err := listFiles("acme", root, all); err == nil || !strings.Contains(err.Error(), "/empty") {
		t.Errorf("a sample is missing: %v", err)
	}
}
