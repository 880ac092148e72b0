package stack

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// readers are functions that read the variable of their last argument.
var readers = []string{"Getenv", "LookupEnv", "setting", "optional"}

// TestEverySwitchReachesTheCommand: removing a switch in `devstack run` would silently
// disable a test or a measurement.
func TestEverySwitchReachesTheCommand(t *testing.T) {
	t.Parallel()
	s := bareStack(t)
	read := switchesRead(t, "../../..")
	for _, known := range []string{"STEVEDORE_TEST_CHAOS", "STEVEDORE_TEST_LOAD", "STEVEDORE_TEST_BENCH_ROWS", "STEVEDORE_DATABASE_URL"} {
		if read[known] == "" {
			t.Errorf("%s is not found: this test looks in the wrong place", known)
		}
	}
	for name, where := range read {
		if s.Get(name) == "" && len(scrub([]string{name + "=1"})) == 0 {
			t.Errorf("%s reads %s, which devstack run removes: begin its name with %s", where, name, switchPrefix)
		}
	}
}

// TestLostSwitchesAreReported: variables that the stack sets are not reported.
func TestLostSwitchesAreReported(t *testing.T) {
	t.Parallel()
	got := bareStack(t).lost([]string{"STEVEDORE_LOAD=1", "STEVEDORE_TOKEN=canary", "STEVEDORE_TEST_LOAD=1", "PATH=/bin"})
	if !slices.Equal(got, []string{"STEVEDORE_LOAD"}) {
		t.Errorf("named: %v", got)
	}
}

// TestSettingsOfTheCaller: documented ones reach stevedore; those that the stack chooses
// are refused, unless they are its own, as in a shell that has sourced .dev/env.
func TestSettingsOfTheCaller(t *testing.T) {
	t.Parallel()
	s := bareStack(t)
	repo, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	s.Repo, s.Out = repo, &said
	settings := []string{"STEVEDORE_LOG_LEVEL=debug", "STEVEDORE_SFTP_ALLOW_NETWORKS=10.1.0.0/16, 127.0.0.0/8", "STEVEDORE_WORKER_STOP_TIMEOUT=2m"}
	environ := slices.Concat(s.Env(), settings[1:], settings[:1], []string{"STEVEDORE_SETTEL=1s", "STEVEDORE_TEST_LOAD=1", "STEVEDORE_SETTLE=", "PATH=/bin"})
	environ = slices.DeleteFunc(environ, func(line string) bool { return line == "STEVEDORE_SFTP_ALLOW_NETWORKS=127.0.0.0/8,::1/128" })
	if err := s.takeSettings(environ); err != nil {
		t.Fatal(err)
	}
	env := s.Env()
	for _, line := range settings {
		if name, text, _ := strings.Cut(line, "="); !slices.Contains(env, line) || s.Get(name) != text {
			t.Errorf("%s does not reach stevedore: %v", line, env)
		}
	}
	if said := said.String(); strings.Count(said, "no effect") != 1 || !strings.Contains(said, "STEVEDORE_SETTEL") {
		t.Errorf("said %q", said)
	}
	lines := func(name string) int { return strings.Count(strings.Join(env, "\n"), name+"=") }
	if lines("STEVEDORE_SFTP_ALLOW_NETWORKS") != 1 || lines("STEVEDORE_SETTLE") != 1 || lines("STEVEDORE_TEST_LOAD") != 0 {
		t.Errorf("environment of stevedore: %v", env)
	}
	if s.grace() != 125*time.Second {
		t.Errorf("a worker that may take 2m to stop is killed after %s", s.grace())
	}
	err = s.takeSettings([]string{"STEVEDORE_TOKEN=canary", "STEVEDORE_AMQP_EXCHANGE=mine", "STEVEDORE_SETTLE=7s"})
	if err == nil || !strings.HasSuffix(err.Error(), "unset STEVEDORE_AMQP_EXCHANGE STEVEDORE_TOKEN") {
		t.Errorf("variables that the stack chooses: %v", err)
	}
}

// TestEnvFileIsAShellScript: settings may contain what a shell interprets.
func TestEnvFileIsAShellScript(t *testing.T) {
	t.Parallel()
	s := bareStack(t)
	s.settings = []string{`STEVEDORE_LOG_FORMAT=it's $HOME; "x" *`}
	if err := s.saveAddresses(); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("sh", "-c", `. "$1" && printf %s "$STEVEDORE_LOG_FORMAT"`, "sh", s.EnvFile()).CombinedOutput()
	if _, want, _ := strings.Cut(s.settings[0], "="); err != nil || string(out) != want {
		t.Errorf("the shell reads %q, %v", out, err)
	}
}

// switchesRead returns stevedore's variables that tests, benchmarks and their helpers
// read or the Makefile sets, each with one such file.
func switchesRead(t *testing.T, root string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == "bin" || entry.Name() == ".dev" || entry.Name() == ".git") {
			return fs.SkipDir
		}
		slashed := filepath.ToSlash(path)
		helper := strings.Contains(slashed, "/bench/") || strings.Contains(slashed, "/internal/test/services/") || strings.Contains(slashed, "/internal/test/sandbox/")
		if strings.HasSuffix(path, "_test.go") || helper && strings.HasSuffix(path, ".go") {
			return readSwitches(filepath.Dir(path), path, found)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	for _, set := range regexp.MustCompile(`\b(STEVEDORE_[A-Z_]+)=`).FindAllStringSubmatch(string(makefile), -1) {
		found[set[1]] = "Makefile"
	}
	return found
}

// readSwitches adds the variables that one file reads. Names may be constants of its package.
func readSwitches(dir, path string, found map[string]string) error {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	ast.Inspect(file, func(node ast.Node) bool {
		call, ok := node.(*ast.CallExpr)
		if !ok || len(call.Args) == 0 || !slices.Contains(readers, called(call)) {
			return true
		}
		name := text(call.Args[len(call.Args)-1])
		if constant, ok := call.Args[len(call.Args)-1].(*ast.Ident); ok {
			name = constantOf(dir, constant.Name)
		}
		if strings.HasPrefix(name, "STEVEDORE_") {
			found[name] = path
		}
		return true
	})
	return nil
}

// called returns the name of the called function without its package.
func called(call *ast.CallExpr) string {
	switch fun := call.Fun.(type) {
	case *ast.Ident:
		return fun.Name
	case *ast.SelectorExpr:
		return fun.Sel.Name
	}
	return ""
}

// text returns the value of a string literal, or "".
func text(expr ast.Expr) string {
	literal, ok := expr.(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return ""
	}
	value, _ := strconv.Unquote(literal.Value)
	return value
}

// constantOf returns the value of `name = "value"` in the package's files, or "".
func constantOf(dir, name string) string {
	definition := regexp.MustCompile(`\b` + name + `\s*=\s*"([A-Z_]+)"`)
	files, _ := filepath.Glob(filepath.Join(dir, "*.go"))
	for _, file := range files {
		source, _ := os.ReadFile(file)
		if value := definition.FindSubmatch(source); value != nil {
			return string(value[1])
		}
	}
	return ""
}
