// Package runbook runs every command of docs/temporal.md and docs/temporal-actions.md
// with the real CLI on a real server and checks the result.
package runbook_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/test/sandbox"
)

const (
	documents = "../../../docs/temporal*.md"
	program   = "../../../bin/temporal"
)

var (
	blocks   = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")
	headings = regexp.MustCompile("(?m)^# ([a-z-]+): .+\n")
	calls    = regexp.MustCompile(`\.(?:run|fails|until)\(t, "([a-z-]+)"`)
)

// readBook returns the recipes of the documents by name. A recipe is a comment with its
// name and purpose, followed by its commands.
func readBook(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(documents)
	require.NoError(t, err)
	book := map[string]string{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, block := range blocks.FindAllStringSubmatch(string(text), -1) {
			commands := headings.Split(block[1], -1)
			require.Empty(t, commands[0], "%s: a block of commands does not begin with the name of a recipe", path)
			for i, heading := range headings.FindAllStringSubmatch(block[1], -1) {
				require.NotContains(t, book, heading[1], "two recipes have the same name")
				book[heading[1]] = strings.TrimSpace(commands[i+1])
			}
		}
	}
	return book
}

// TestEveryRecipeIsTested: every recipe has a test, and every tested recipe exists.
func TestEveryRecipeIsTested(t *testing.T) {
	t.Parallel()
	sources, err := filepath.Glob("*_test.go")
	require.NoError(t, err)
	tested := map[string]bool{}
	for _, path := range sources {
		source, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, call := range calls.FindAllStringSubmatch(string(source), -1) {
			tested[call[1]] = true
		}
	}
	book := readBook(t)
	for name := range book {
		assert.True(t, tested[name], "no test runs the recipe %s", name)
	}
	for name := range tested {
		assert.Contains(t, book, name, "a test runs a recipe that is not in the documents")
	}
}

// TestOtherDocumentsShowRecipesOnly: commands of Temporal's CLI in other documents are
// also recipes, and so are tested.
func TestOtherDocumentsShowRecipesOnly(t *testing.T) {
	t.Parallel()
	var known []string
	for _, commands := range readBook(t) {
		known = append(known, oneLine(commands))
	}
	others, err := filepath.Glob("../../../docs/*.md")
	require.NoError(t, err)
	shown := regexp.MustCompile(`(?m)^(?:bin/)?temporal (?:.*\\\n)*.*$`)
	comment := regexp.MustCompile(`\s+#.*$`)
	seen := 0
	for _, path := range append(others, "../../../README.md") {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, command := range shown.FindAllString(string(text), -1) {
			seen++
			command = comment.ReplaceAllString(oneLine(command), "")
			assert.True(t, slices.Contains(known, command), "%s shows a command that is no recipe: %s", path, command)
		}
	}
	assert.Greater(t, seen, len(known)/2, "the commands were not found")
}

// oneLine returns a command without its line breaks.
func oneLine(command string) string {
	command = strings.TrimPrefix(strings.ReplaceAll(command, "\\\n", " "), "bin/")
	return strings.Join(strings.Fields(command), " ")
}

// person runs recipes in a shell.
type person struct {
	h    *sandbox.Cluster
	book map[string]string
	env  []string
}

// at returns a person with the address of the tests' Temporal server.
func at(t *testing.T, h *sandbox.Cluster, namespace string) *person {

	t.Helper()
	bin, err := filepath.Abs(program)
	require.NoError(t, err)
	require.FileExists(t, bin, "run `make build`")
	return &person{h: h, book: readBook(t), env: []string{
		"PATH=" + filepath.Dir(bin) + ":" + os.Getenv("PATH"), "HOME=" + t.TempDir(),
		"TEMPORAL_ADDRESS=" + os.Getenv("TEMPORAL_ADDRESS"), "TEMPORAL_NAMESPACE=" + namespace,
	}}
}

// run runs the recipe with words replaced, given as pairs, and returns its output. It
// must succeed.
func (p *person) run(t *testing.T, name string, words ...string) string {
	t.Helper()
	out, err := p.enter(t, name, words)
	require.NoError(t, err, "recipe %s: %s", name, out)
	return out
}

// fails runs a recipe that must be refused, and returns its output.
func (p *person) fails(t *testing.T, name string, words ...string) string {
	t.Helper()
	out, err := p.enter(t, name, words)
	require.Error(t, err, "recipe %s: %s", name, out)
	return out
}

// until repeats the recipe until it succeeds with an accepted output: visibility is
// eventually consistent, and schedules of a new namespace may take long to respond.
func (p *person) until(t *testing.T, name string, fits func(out string) bool, words ...string) string {
	t.Helper()
	var out string
	sandbox.Eventually(t, func() bool {
		printed, err := p.enter(t, name, words)
		out = printed
		return err == nil && fits(out)
	}, 3*sandbox.Timeout, time.Second, "recipe %s never prints what it should", name)
	return out
}

func (p *person) enter(t *testing.T, name string, words []string) (string, error) {
	t.Helper()
	commands, ok := p.book[name]
	require.True(t, ok, "there is no recipe %s", name)
	commands = strings.NewReplacer(words...).Replace(commands)
	require.NotRegexp(t, `\b(SERVER|SERVER_UUID|FILE_UUID|EVENT_ID|JOB_ID)\b`, commands, "a word was not replaced")
	return p.shell(t, commands)
}

// shell runs commands without a terminal.
func (p *person) shell(t *testing.T, commands string) (string, error) {
	cmd := exec.CommandContext(p.h.Context(t), "sh", "-c", commands)
	cmd.Env = p.env
	out, err := cmd.CombinedOutput()
	t.Logf("$ %s\n%s", commands, out)
	return string(out), err
}

// has accepts outputs that contain all texts, for until.
func has(texts ...string) func(string) bool {
	return func(out string) bool {
		for _, text := range texts {
			if !strings.Contains(out, text) {
				return false
			}
		}
		return true
	}
}
