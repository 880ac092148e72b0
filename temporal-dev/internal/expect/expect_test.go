package expect

import (
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		patterns []string
		script   string
		code     int
		missing  string
	}{
		"all there":              {[]string{`^--- PASS: TestA\b`, `^BenchmarkB\S*\s+\d`}, `echo '--- PASS: TestA (1s)'; printf 'BenchmarkB-2 \t 1'`, 0, ""},
		"one is skipped":         {[]string{`^--- PASS: TestA\b`, `^--- PASS: TestB\b`}, `echo '--- PASS: TestA (1s)'; echo '--- SKIP: TestB (0s)'`, 1, "TestB"},
		"nothing ran":            {[]string{`^--- PASS`}, `echo 'ok  	pkg 0.1s [no tests to run]'`, 1, "PASS"},
		"the command's own code": {[]string{`^never`}, `exit 7`, 7, ""},
		"no pattern":             {[]string{`(`}, `true`, 2, "missing closing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			code, err := Run(t.Context(), &out, c.patterns, []string{"sh", "-c", c.script})
			if code != c.code {
				t.Errorf("code %d, want %d", code, c.code)
			}
			if (err == nil) != (c.missing == "") || err != nil && !strings.Contains(err.Error(), c.missing) {
				t.Errorf("error %v, want %q", err, c.missing)
			}
		})
	}
}

func TestRunCopiesTheOutput(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if code, err := Run(t.Context(), &out, []string{"b"}, []string{"sh", "-c", "echo a; echo b"}); code != 0 || err != nil || out.String() != "a\nb\n" {
		t.Errorf("%d, %v, %q", code, err, out.String())
	}
}
