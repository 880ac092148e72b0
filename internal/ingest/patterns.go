package ingest

import (
	"strings"
)

// validateGlobs refuses globs that can match nothing, which would leave files out
// without a word.
func (s Server) validateGlobs() (errs []error) {
	for _, globs := range []struct {
		field string
		globs []string
	}{{"include", s.Include}, {"exclude", s.Exclude}} {
		for _, glob := range globs.globs {
			if why := neverMatches(glob); why != "" {
				errs = append(errs, fieldErrorf(globs.field, "%s %q: %s", globs.field, glob, why))
			}
		}
	}
	return errs
}

// neverMatches says why no path below the root folder can fit the glob as it is meant,
// and what to write; empty if one can.
func neverMatches(glob string) string {
	switch {
	case strings.Trim(glob, " ") != glob:
		return "begins or ends with a space: leave it out"
	case strings.HasPrefix(glob, "/"):
		return "paths begin below the server's folder, without '/': use " + quoted(strings.TrimLeft(glob, "/"))
	case strings.HasSuffix(glob, "/"):
		return "names a folder, and patterns are for files: use " + quoted(strings.TrimRight(glob, "/")+"/**")
	case separator(glob):
		return `'\' does not part folders: use '/', and [*] for a star in a name`
	case severalGlobs(glob):
		return "holds several patterns: give each by itself, and [,] for a comma in a name"
	}
	for element := range strings.SplitSeq(glob, "/") {
		if glob != "" && (element == "" || element == "." || element == "..") {
			return "no path holds '//', './' or '../': leave it out"
		}
	}
	return ""
}

func quoted(text string) string { return "'" + text + "'" }

// separator reports whether a backslash stands before something that need not be
// quoted so.
func separator(glob string) bool {
	for rest := glob; ; {
		_, after, found := strings.Cut(rest, `\`)
		if !found {
			return false
		}
		if after == "" || !strings.ContainsRune(`\[]{}?,!^-`, rune(after[0])) {
			return true
		}
		rest = after[1:]
	}
}

// severalGlobs reports whether the glob is a list with commas. A comma may be part of
// names, but hardly where what is on each side looks like a pattern or a file name.
func severalGlobs(glob string) bool {
	parts := outerCommas(glob)
	for _, part := range parts {
		if !strings.ContainsAny(part, "*.") {
			return false
		}
	}
	return len(parts) > 1
}

// outerCommas splits at commas outside of braces and brackets.
func outerCommas(glob string) (parts []string) {
	depth, from := 0, 0
	for i := 0; i < len(glob); i++ {
		switch glob[i] {
		case '\\':
			i++
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case ',':
			if depth == 0 {
				parts, from = append(parts, glob[from:i]), i+1
			}
		}
	}
	return append(parts, glob[from:])
}

// wildcards are replaced to get a name that fits a glob.
var wildcards = strings.NewReplacer("*", "x", "?", "x")

// marksItself reports whether all names that fit the glob, or one of its alternatives,
// are those of done-markers. Classes of characters are not looked into.
func (s Server) marksItself(glob string) bool {
	for _, one := range alternatives(glob) {
		name := one[strings.LastIndexByte(one, '/')+1:]
		if !strings.ContainsAny(name, `[\`) && s.IsMarker(wildcards.Replace(name)) {
			return true
		}
	}
	return false
}

// alternatives returns what the braces of a glob stand for; a glob with too many of
// them is refused elsewhere.
func alternatives(glob string) (all []string) {
	before, rest, found := strings.Cut(glob, "{")
	end := closing(rest)
	if !found || end < 0 || GlobChoices(glob) > MaxGlobChoices {
		return []string{glob}
	}
	for _, choice := range outerCommas(rest[:end]) {
		all = append(all, alternatives(before+choice+rest[end+1:])...)
	}
	return all
}

// closing is where the brace ends that was opened before the text, or -1.
func closing(text string) int {
	depth := 1
	for i := range len(text) {
		switch text[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}
