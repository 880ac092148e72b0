package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	codeBlocks = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")
	invocation = regexp.MustCompile(`(?m)(?:^|[ ;|])(?:bin/)?stevedore ([a-z].*)$`)
	shellWord  = regexp.MustCompile(`'[^']*'|"[^"]*"|[^\s'"]+`)
	shellEnd   = regexp.MustCompile(`^(#.*|[|;&>]+)$`)
)

// TestDocumentedCommandsExist parses each stevedore command in the code blocks of the documentation.
func TestDocumentedCommandsExist(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../../docs/*.md")
	require.NoError(t, err)
	seen := 0
	for _, page := range append(pages, "../../README.md", "../../deploy/README.md") {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, block := range codeBlocks.FindAllStringSubmatch(strings.ReplaceAll(string(text), "\\\n", " "), -1) {
			if block[1] != "" && block[1] != "sh" {
				continue
			}
			for _, line := range invocation.FindAllStringSubmatch(block[2], -1) {
				seen++
				assert.NoError(t, parse(words(line[1])), "%s: stevedore %s", page, line[1])
			}
		}
	}
	require.Greater(t, seen, 30, "the commands were not found")
}

// words splits a command line as a shell does, up to a comment, pipe or redirection.
func words(line string) []string {
	var all []string
	for _, word := range shellWord.FindAllString(line, -1) {
		if shellEnd.MatchString(word) {
			break
		}
		all = append(all, strings.Trim(word, `'"`))
	}
	return all
}

// parse reports whether the command, its flags and its arguments are valid, without running it.
func parse(line []string) error {
	a := &app{}
	cmd, rest, err := a.rootCommand().Find(line)
	if err != nil {
		return err
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	if cmd.Args == nil {
		return cobra.ArbitraryArgs(cmd, cmd.Flags().Args())
	}
	return cmd.Args(cmd, cmd.Flags().Args())
}
