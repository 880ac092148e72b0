package fuzz

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestFind: every package that parses external input has a target.
func TestFind(t *testing.T) {
	t.Parallel()
	all, err := Find("../../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"./internal/ingest", "./internal/sftp", "./internal/store", "./activities", "./api"} {
		if !slices.ContainsFunc(all, func(t Target) bool { return t.Package == folder }) {
			t.Errorf("%s has no target", folder)
		}
	}
}

// sample is a module with one target.
func sample(t *testing.T, body string) string {
	t.Helper()
	dir := t.TempDir()
	for path, text := range map[string]string{
		"go.mod":         "module sample\n\ngo 1.26\n",
		"deep/x_test.go": "package deep\n\nimport \"testing\"\n\nfunc FuzzSum(f *testing.F) {\n\tf.Add(1)\n\tf.Fuzz(func(t *testing.T, n int) { " + body + " })\n}\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, path), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestRun(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and fuzzes modules")
	}
	t.Parallel()
	for name, c := range map[string]struct{ body, only, want string }{
		"sound":          {"_ = n", "Fuzz", ""},
		"broken":         {"if n != 0 { t.Error(n) }", "Fuzz", "./deep FuzzSum: exit status"},
		"nothing chosen": {"_ = n", "^FuzzNoSuch$", "nothing was fuzzed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			err := Runner{Repo: sample(t, c.body), Out: &out, Time: time.Second}.Run(t.Context(), regexp.MustCompile(c.only))
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q\n%s", err, c.want, out.String())
			}
		})
	}
}

func TestNoInputTried(t *testing.T) {
	t.Parallel()
	for output, ok := range map[string]bool{
		"testing: warning: no fuzz tests to fuzz\nPASS\nok":                                                         false,
		"fuzz: elapsed: 1s, execs: 0 (0/sec)\nPASS":                                                                 false,
		"fuzz: elapsed: 0s, execs: 0 (0/sec)\nfuzz: elapsed: 1s, execs: 9 (9/sec), new interesting: 0 (total: 1)\n": true,
	} {
		if err := tried(output, executed); (err == nil) != ok {
			t.Errorf("%q: %v", output, err)
		}
	}
	if err := tried("    garbage_test.go:54: garbage: 60 servers in 7s of 7s, heap up to 65 MiB", talked); err != nil {
		t.Error(err)
	}
}
