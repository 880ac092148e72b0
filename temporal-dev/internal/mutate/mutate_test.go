package mutate

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const sample = `# a comment
mutation answer forgotten
file deep/answer.go
-	return 42
+	return 0
test ./deep -run TestAnswer
test ./other
`

// repository returns a folder with the file that the sample mutates.
func repository(t *testing.T, source string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "deep/answer.go"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

const source = "package deep\n\nfunc answer() int {\n\treturn 42\n}\n"

func parse(t *testing.T, text string) []Mutation {
	t.Helper()
	table, err := Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestApply(t *testing.T) {
	t.Parallel()
	table := parse(t, sample)
	if got := len(table[0].Tests); len(table) != 1 || got != 2 {
		t.Fatalf("%+v", table)
	}
	text, err := table[0].Apply(repository(t, source))
	if want := strings.Replace(source, "42", "0", 1); err != nil || text != want {
		t.Errorf("%q, %v", text, err)
	}
	for name, other := range map[string]string{
		"gone":            strings.Replace(source, "42", "43", 1),
		"twice":           source + "\treturn 42\n",
		"not whole lines": strings.Replace(source, "\treturn 42", "\t\treturn 42", 1),
	} {
		if _, err := table[0].Apply(repository(t, other)); err == nil || !strings.Contains(err.Error(), "not once") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRun replaces the go command by one that fails as the case requires.
func TestRun(t *testing.T) {
	t.Parallel()
	boom := errors.New("exit status 1")
	for name, c := range map[string]struct {
		only            string
		mutated, honest string // what fails: build, ./deep, ./other
		skipped         bool
		want            string // empty: no error
	}{
		"killed":                   {only: ".", mutated: "./deep"},
		"killed by the other test": {only: ".", mutated: "./other"},
		"survived":                 {only: ".", want: "survived:\n  answer forgotten"},
		"does not build":           {only: ".", mutated: "build", want: "does not build"},
		"tests fail anyway":        {only: ".", honest: "./deep", mutated: "./deep", want: "without any mutation"},
		"tests do not run":         {only: ".", skipped: true, mutated: "./deep", want: "runs no test"},
		"nothing chosen":           {only: "^no such", want: "nothing was mutated"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			r := Runner{Repo: repository(t, source), Out: &out}
			r.run = func(_ context.Context, args ...string) (string, error) {
				fails := c.honest
				if slices.Contains(args, "-overlay") {
					fails = c.mutated
				}
				if fails == args[0] || args[0] == "test" && slices.Contains(args, fails) {
					return "--- FAIL: TestAnswer (0.00s)\n", boom
				}
				if c.skipped {
					return "--- SKIP: TestAnswer (0.00s)\nok\n", nil
				}
				return "--- PASS: TestAnswer (0.00s)\nok\n", nil
			}
			err := r.Run(t.Context(), parse(t, sample), regexp.MustCompile(c.only))
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q; printed:\n%s", err, c.want, out.String())
			}
		})
	}
}

// TestRunWithGo: the go command uses the mutated file instead of the real one, which is
// not changed.
func TestRunWithGo(t *testing.T) {
	t.Parallel()
	repo := repository(t, source)
	for path, text := range map[string]string{
		"go.mod":              "module sample\n\ngo 1.26\n",
		"deep/answer_test.go": "package deep\n\nimport \"testing\"\n\nfunc TestAnswer(t *testing.T) {\n\tif answer() != 42 {\n\t\tt.Fatal()\n\t}\n}\n",
	} {
		if err := os.WriteFile(filepath.Join(repo, path), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out strings.Builder
	table := parse(t, strings.Replace(sample, "test ./other\n", "", 1))
	if err := (Runner{Repo: repo, Out: &out}).Run(t.Context(), table, regexp.MustCompile(".")); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
	if !strings.Contains(out.String(), "killed by ./deep -run TestAnswer") {
		t.Errorf("printed:\n%s", out.String())
	}
	if text, err := os.ReadFile(filepath.Join(repo, "deep/answer.go")); err != nil || string(text) != source {
		t.Errorf("%q, %v", text, err)
	}
}

// TestTheTableMatchesTheCode: every mutation applies to the code, and its tests exist.
func TestTheTableMatchesTheCode(t *testing.T) {
	t.Parallel()
	const repo = "../../.."
	file, err := os.Open("../../mutations.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	table, err := Parse(file)
	if err != nil || len(table) == 0 {
		t.Fatal(len(table), err)
	}
	names := map[string]bool{}
	for _, m := range table {
		if _, err := m.Apply(repo); err != nil {
			t.Error(err)
		}
		if names[m.Name] {
			t.Errorf("two mutations are called %q", m.Name)
		}
		names[m.Name] = true
		for _, test := range m.Tests {
			folder, run, _ := strings.Cut(test, " -run ")
			run, _, _ = strings.Cut(run, "/")
			for name := range strings.SplitSeq(run, "|") {
				if !hasTest(t, filepath.Join(repo, folder), strings.Trim(name, "^$")) {
					t.Errorf("mutation %q: no test of %s begins with %q", m.Name, folder, name)
				}
			}
		}
	}
}

// hasTest reports whether the folder has a test with the prefix.
func hasTest(t *testing.T, folder, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(files, func(path string) bool {
		text, err := os.ReadFile(path)
		return err == nil && name != "" && strings.Contains(string(text), "\nfunc "+name)
	})
}
