package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// toolPrefixes are the prefixes of variables of the development stack and of tests.
var toolPrefixes = []string{"STEVEDORE_DEV_", "STEVEDORE_TEST_"}

// Warnings returns a line for each unknown STEVEDORE_ variable, with the known
// variable of the most similar name. Values are not shown.
func (c Config) Warnings() []string {
	var known []string
	for _, f := range fields() {
		known = append(known, f.name)
	}
	var warnings []string
	for _, name := range slices.Sorted(maps.Keys(c.found().environ)) {
		if !strings.HasPrefix(name, prefix) || slices.Contains(known, name) || name == configFile || forTools(name) {
			continue
		}
		warning := fmt.Sprintf("%s is not a variable of stevedore and has no effect", name)
		if meant := nearest(name, known); meant != "" {
			warning += fmt.Sprintf(": did you mean %s?", meant)
		}
		warnings = append(warnings, warning)
	}
	return warnings
}

// forTools reports whether the variable is read by tools and tests only.
func forTools(name string) bool {
	return slices.ContainsFunc(toolPrefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

// nearest returns the known name with the smallest edit distance to name, or "" when
// it is more than 3.
func nearest(name string, known []string) string {
	best, fewest := "", 4
	for _, candidate := range known {
		if edits := distance(name, candidate); edits < fewest {
			best, fewest = candidate, edits
		}
	}
	return best
}

// distance returns the Levenshtein distance of a and b in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
