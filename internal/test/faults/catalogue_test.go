package faults_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestCatalogueMatchesTheTests: docs/faults.md has a row for each fault (57a, 57b for a fault
// with two) and every fault test, and names only existing tests.
func TestCatalogueMatchesTheTests(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../docs/faults.md")
	require.NoError(t, err)
	doc := string(text)
	for number := 1; number <= 71; number++ {
		row := regexp.MustCompile(fmt.Sprintf(`(?m)^\| %da? \| `, number))
		assert.True(t, row.MatchString(doc), "docs/faults.md has no row %d", number)
	}
	defined := testsOf(t, "../../..")
	for _, name := range regexp.MustCompile("`(Test[A-Za-z0-9_]+)`").FindAllStringSubmatch(doc, -1) {
		assert.Contains(t, defined, name[1], "docs/faults.md names a test that does not exist")
	}
	for name := range defined {
		if strings.HasPrefix(name, "TestFault") {
			assert.Contains(t, doc, "`"+name+"`", "docs/faults.md does not name the test")
		}
	}
}

// testsOf returns the names of all tests below a folder.
func testsOf(t *testing.T, root string) map[string]bool {
	t.Helper()
	declaration := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	names := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && entry.Name() != ".." {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		source, err := os.ReadFile(path)
		for _, found := range declaration.FindAllStringSubmatch(string(source), -1) {
			names[found[1]] = true
		}
		return err
	})
	require.NoError(t, err)
	return names
}
