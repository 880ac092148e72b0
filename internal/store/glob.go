package store

import (
	"regexp"
	"strings"
)

// globPattern converts a glob to a PostgreSQL regular expression. '*' and '?' do not match
// slashes, '**' does. A glob without a leading slash matches the end of a path.
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
