package ingest

import (
	"strings"
)

// validateGlobs rejects globs that cannot match anything, because they would
// silently exclude files.
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

// neverMatches returns why no path below the root folder can match the glob, with
// a correction; empty if a path can.
func neverMatches(glob string) string {
	switch {
	case strings.Trim(glob, " ") != glob:
		return "begins or ends with a space: remove it"
	case strings.HasPrefix(glob, "/"):
		return "paths are relative to the server's folder: use " + quoted(strings.TrimLeft(glob, "/"))
	case strings.HasSuffix(glob, "/"):
		return "is a folder, and patterns match files: use " + quoted(strings.TrimRight(glob, "/")+"/**")
	case separator(glob):
		return `'\' does not separate folders: use '/', and [*] for a literal star`
	case severalGlobs(glob):
		return "contains several patterns: pass each separately; use [,] for a literal comma"
	}
	for element := range strings.SplitSeq(glob, "/") {
		if glob != "" && (element == "" || element == "." || element == "..") {
			return "no path contains '//', './' or '../': remove it"
		}
	}
	return ""
}

func quoted(text string) string { return "'" + text + "'" }

// separator reports whether the glob has a backslash before a character that needs
// no escape.
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

// severalGlobs reports whether the glob is a comma-separated list. A comma may be
// part of a name, but hardly where each side looks like a pattern or a file name.
func severalGlobs(glob string) bool {
	parts := outerCommas(glob)
	for _, part := range parts {
		if !strings.ContainsAny(part, "*.") {
			return false
		}
	}
	return len(parts) > 1
}

// outerCommas splits at commas outside braces and brackets.
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

// wildcards replaces wildcards to make a name that matches a glob.
var wildcards = strings.NewReplacer("*", "x", "?", "x")

// includesMarkers reports whether all names that match the glob, or one of its
// alternatives, are names of done-markers. It returns false for globs with
// character classes.
func (s Server) includesMarkers(glob string) bool {
	for _, one := range alternatives(glob) {
		name := one[strings.LastIndexByte(one, '/')+1:]
		if !strings.ContainsAny(name, `[\`) && s.IsMarker(wildcards.Replace(name)) {
			return true
		}
	}
	return false
}

// alternatives expands the braces of a glob. A glob with too many combinations is
// returned unchanged; validation rejects it elsewhere.
func alternatives(glob string) (all []string) {
	before, rest, found := strings.Cut(glob, "{")
	end := closingBrace(rest)
	if !found || end < 0 || GlobChoices(glob) > MaxGlobChoices {
		return []string{glob}
	}
	for _, choice := range outerCommas(rest[:end]) {
		all = append(all, alternatives(before+choice+rest[end+1:])...)
	}
	return all
}

// closingBrace returns the index of the brace that closes the one before the text, or -1.
func closingBrace(text string) int {
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
