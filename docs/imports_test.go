// Package docs_test compares the documentation with the code.
package docs_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "update the picture in imports.md")

// support lists the packages that only tests import.
var support = []string{"internal/test/services", "internal/test/servicedouble", "internal/test/sandbox", "internal/test/faults", "internal/test/runbook", "docs", "deploy", "examples", "examples/consumer-go"}

// TestPictureOfImports compares the picture in imports.md with the imports of the code. The
// picture omits an import if a longer path leads to the same package.
func TestPictureOfImports(t *testing.T) {
	t.Parallel()
	const begin, end = "<!-- imports: go test ./docs -update -->\n", "<!-- end of imports -->\n"
	text, err := os.ReadFile("imports.md")
	require.NoError(t, err)
	before, rest, found := strings.Cut(string(text), begin)
	require.True(t, found, "imports.md lacks %q", begin)
	_, after, found := strings.Cut(rest, end)
	require.True(t, found, "imports.md lacks %q", end)
	want := before + begin + picture(reduce(imports(t))) + end + after
	if *update {
		require.NoError(t, os.WriteFile("imports.md", []byte(want), 0o644))
		return
	}
	require.Equal(t, want, string(text), "run `go test ./docs -update`")
}

// imports returns the packages of the module with their imports of it.
func imports(t *testing.T) map[string][]string {
	t.Helper()
	list := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...")
	list.Dir = ".."
	out, err := list.Output()
	require.NoError(t, err)
	graph := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		from := strings.TrimPrefix(fields[0], "stevedore/")
		if slices.Contains(support, from) {
			continue
		}
		graph[from] = []string{}
		for _, path := range fields[1:] {
			if to, ours := strings.CutPrefix(path, "stevedore/"); ours {
				graph[from] = append(graph[from], to)
			}
		}
	}
	return graph
}

// reduce removes imports that are implied by a longer path.
func reduce(graph map[string][]string) map[string][]string {
	reaches := func(from, to string) bool {
		var look func(at string) bool
		look = func(at string) bool { return at == to || slices.ContainsFunc(graph[at], look) }
		return look(from)
	}
	reduced := map[string][]string{}
	for from, all := range graph {
		reduced[from] = slices.DeleteFunc(slices.Clone(all), func(to string) bool {
			return slices.ContainsFunc(all, func(other string) bool { return other != to && reaches(other, to) })
		})
	}
	return reduced
}

func picture(graph map[string][]string) string {
	var out strings.Builder
	out.WriteString("```mermaid\nflowchart TD\n")
	id := strings.NewReplacer("/", "_").Replace
	for _, from := range slices.Sorted(maps.Keys(graph)) {
		fmt.Fprintf(&out, "  %s[%s]", id(from), from)
		for i, to := range slices.Sorted(slices.Values(graph[from])) {
			fmt.Fprintf(&out, "%s%s", map[bool]string{true: " --> ", false: " & "}[i == 0], id(to))
		}
		out.WriteString("\n")
	}
	out.WriteString("```\n")
	return out.String()
}
