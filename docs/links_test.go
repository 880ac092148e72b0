package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#{1,6} (.+)$`)
	fenced  = regexp.MustCompile("(?ms)^```.*?^```$")
	code    = regexp.MustCompile("`[^`\n]+`")
)

// TestLinks checks that the target of each relative link in the documentation exists, its anchor included.
func TestLinks(t *testing.T) {
	t.Parallel()
	var pages []string
	for _, pattern := range []string{"../*.md", "../deploy/*.md", "*.md", "decisions/*.md"} {
		found, err := filepath.Glob(pattern)
		require.NoError(t, err)
		pages = append(pages, found...)
	}
	links := 0
	for _, page := range pages {
		for _, found := range link.FindAllStringSubmatch(code.ReplaceAllString(prose(t, page), ""), -1) {
			if strings.Contains(found[1], "://") {
				continue
			}
			links++
			path, anchor, _ := strings.Cut(found[1], "#")
			target := page
			if path != "" {
				target = filepath.Join(filepath.Dir(page), path)
			}
			if !assert.FileExists(t, existing(target), "%s links to %s", page, found[1]) || anchor == "" {
				continue
			}
			assert.Contains(t, anchors(t, target), anchor, "%s links to %s", page, found[1])
		}
	}
	require.Greater(t, links, 50, "the links were not found")
}

// TestDecisionsAreListed checks that the index of decisions names each of them.
func TestDecisionsAreListed(t *testing.T) {
	t.Parallel()
	index, err := os.ReadFile("decisions/README.md")
	require.NoError(t, err)
	pages, err := filepath.Glob("decisions/0*.md")
	require.NoError(t, err)
	for _, page := range pages {
		assert.Contains(t, string(index), "("+filepath.Base(page)+")")
	}
}

// existing returns path, or a file in it if it is a folder, so that links to folders count as links to files.
func existing(path string) string {
	if inside, err := filepath.Glob(filepath.Join(path, "*.*")); err == nil && len(inside) > 0 {
		return inside[0]
	}
	return path
}

// prose returns a page without its code blocks.
func prose(t *testing.T, page string) string {
	t.Helper()
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	return fenced.ReplaceAllString(string(text), "")
}

// anchors returns the anchors that GitHub makes of the headings of a page: lower case, blanks as hyphens,
// without punctuation.
func anchors(t *testing.T, page string) []string {
	t.Helper()
	var all []string
	for _, found := range heading.FindAllStringSubmatch(prose(t, page), -1) {
		all = append(all, strings.Map(func(r rune) rune {
			switch {
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				return unicode.ToLower(r)
			case r == ' ':
				return '-'
			}
			return -1
		}, found[1]))
	}
	return all
}
