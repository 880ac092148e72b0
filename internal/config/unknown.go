package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// othersVariables carry the prefix but are for people and tools, not for us.
var othersVariables = []string{configFile}

// othersPrefixes begin the variables of the development stack and of tests.
var othersPrefixes = []string{"STEVEDORE_DEV_", "STEVEDORE_TEST_"}

// Warnings returns a line for each STEVEDORE_ variable that nothing reads, with
// the known name it may have been meant to be. Values are not shown.
func (c Config) Warnings() []string {
	var known []string
	for _, f := range fields() {
		known = append(known, f.name)
	}
	var warnings []string
	for _, name := range slices.Sorted(maps.Keys(c.found().environ)) {
		if !strings.HasPrefix(name, prefix) || slices.Contains(known, name) || others(name) {
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

// others reports whether a variable with our prefix is none of ours.
func others(name string) bool {
	return slices.Contains(othersVariables, name) ||
		slices.ContainsFunc(othersPrefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

// nearest returns the known name with the fewest edits to name; none when it
// takes more than a typo's worth of them.
func nearest(name string, known []string) string {
	best, fewest := "", 4
	for _, candidate := range known {
		if edits := distance(name, candidate); edits < fewest {
			best, fewest = candidate, edits
		}
	}
	return best
}

// distance counts the insertions, deletions and replacements of bytes that turn
// a into b (Levenshtein).
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
