package store

import (
	"regexp"
	"strings"
)

// globPattern returns a glob as PostgreSQL's regular expression: '*' and '?'
// stop at slashes, '**' does not. One that does not begin with a slash may match
// the end of a path.
func globPattern(glob string) string {
	var b strings.Builder
	b.WriteString("^")
	if !strings.HasPrefix(glob, "/") {
		b.WriteString("(.*/)?")
	}
	for i := 0; i < len(glob); i++ {
		switch {
		case strings.HasPrefix(glob[i:], "**/"):
			b.WriteString("(.*/)?")
			i += 2
		case strings.HasPrefix(glob[i:], "**"):
			b.WriteString(".*")
			i++
		case glob[i] == '*':
			b.WriteString("[^/]*")
		case glob[i] == '?':
			b.WriteString("[^/]")
		default:
			end := i + 1
			for end < len(glob) && glob[end] != '*' && glob[end] != '?' {
				end++
			}
			b.WriteString(regexp.QuoteMeta(glob[i:end]))
			i = end - 1
		}
	}
	return b.String() + "$"
}
