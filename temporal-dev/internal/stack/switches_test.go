package stack

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
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
