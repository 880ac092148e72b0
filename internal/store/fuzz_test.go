package store

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzGlob: every glob becomes a valid, anchored pattern; a glob without wildcards matches
// only itself. Go and PostgreSQL share the syntax.
func FuzzGlob(f *testing.F) {
	for _, glob := range []string{"", "*", "**", "**/", "/in/**/*.csv", "a?b", "[", "(", `\`, "a{2}", "^$", "***", "?**/?", "a\nb", "\x00", "\xff"} {
		f.Add(glob, "/in/a.csv")
	}
	f.Fuzz(func(t *testing.T, glob, path string) {
		if len(glob) > 200 || !utf8.ValidString(glob) || !utf8.ValidString(path) {
			return
		}
		pattern, err := regexp.Compile("(?s)" + globPattern(glob))
		if err != nil {
			t.Fatalf("glob %q becomes %q: %v", glob, globPattern(glob), err)
		}
		pattern.MatchString(path)
		if !strings.ContainsAny(glob, "*?") && (!pattern.MatchString(glob) || pattern.MatchString(glob+"x")) {
			t.Errorf("glob %q becomes %q", glob, pattern)
		}
		fixed, name := literals(glob)
		if !strings.Contains(glob, fixed) || !strings.Contains(glob, name) {
			t.Errorf("glob %q has the literals %q and %q", glob, fixed, name)
		}
	})
}
