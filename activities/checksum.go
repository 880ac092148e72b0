package activities

import (
	"fmt"
	"path"
	"strings"

	"stevedore/internal/ingest"
)

// checksum is the partner's digest of a file. The zero value means none.
type checksum struct {
	// algo is one of the domain's algorithms. BLAKE2b with a length other than 64 bytes
	// has the length in bits as a suffix: "blake2b-256".
	algo   string
	digest string // lower-case hex
	// inexact: the name matches only without its folder or in another case. Then a
	// matching digest verifies the file, and a different one means nothing.
	inexact bool
}

// maxSumsLine bounds a line of a checksum file. It exceeds the longest escaped path with
// a digest.
const maxSumsLine = 64 << 10

// sumsEntry is one parsed line of a checksum file.
type sumsEntry struct {
	checksum
	// names are the possible readings of the name, the strictest first; none for a
	// bare digest.
	names []string
}

// The quality of a match between a name in a checksum file and a file, the best first.
const (
	matchExact = iota
	matchPath
	matchLoose
	matchOtherFolder
	matchOtherCase
	matchUnnamed
	matchNone
)

// findChecksum looks up the file at the remote path in the text of a checksum file. If
// there is none, why completes a sentence that begins with the checksum file's name.
//
// It accepts the formats of GNU, BSD, OpenSSL and Windows tools, with any path to the
// file, and a bare digest, which only a file's own checksum file may contain. Names are
// compared exactly first, then without the folder of another machine, then ignoring
// case.
func findChecksum(sidecar string, text []byte, file string) (want checksum, why string) {
	sums, _ := ingest.ParseChecksumName(path.Base(sidecar))
	if sums.Algo == ingest.AlgoUnsupported {
		return checksum{}, "is of an algorithm that is not supported"
	}
	lines, why := sumsLines(text)
	if why != "" {
		return checksum{}, why
	}
	best, found, unreadable := matchNone, []checksum{}, false
	for _, line := range lines {
		entry, ok := parseSumsLine(line, sums.Algo)
		if !ok {
			unreadable = unreadable || mentions(line, path.Base(file))
			continue
		}
		match := entry.match(file, sidecar, sums.Shared())
		entry.inexact = sums.Shared() && (match == matchOtherFolder || match == matchOtherCase)
		switch {
		case match > best || match == matchNone:
		case match < best:
			best, found = match, []checksum{entry.checksum}
		default:
			found = append(found, entry.checksum)
		}
	}
	switch {
	case len(found) > 0:
		return strongest(found)
	case unreadable || !sums.Shared() && !hasNames(lines, sums.Algo):
		return checksum{}, "has no readable " + algoLabel(sums.Algo) + "digest of the file"
	case sums.Shared():
		return checksum{}, "does not list it"
	default:
		return checksum{}, "lists another file"
	}
}

// strongest returns the checksum of the strongest algorithm, unless two of that
// algorithm differ.
func strongest(found []checksum) (checksum, string) {
	best := found[0]
	for _, c := range found[1:] {
		if algoRank(c.algo) < algoRank(best.algo) {
			best = c
		}
	}
	for _, c := range found {
		if c.algo == best.algo && c.digest != best.digest {
			return checksum{}, fmt.Sprintf("has two different %sdigests for the file", algoLabel(best.algo))
		}
	}
	return best, ""
}

// match returns how well the entry matches the file.
func (s sumsEntry) match(file, sidecar string, shared bool) int {
	if len(s.names) == 0 {
		if shared {
			return matchNone
		}
		return matchUnnamed
	}
	best := matchNone
	for i, name := range s.names {
		match := matchName(name, file, path.Dir(sidecar))
		if i > 0 && match < matchLoose {
			match = matchLoose
		}
		best = min(best, match)
	}
	return best
}

// matchName compares one reading of a name with the file.
func matchName(name, file, folder string) int {
	base := file[strings.LastIndexByte(file, '/')+1:]
	relative := strings.TrimLeft(strings.TrimPrefix(name, "./"), "/")
	switch {
	case name == base, name == file:
		return matchExact
	case strings.Contains(name, "/") && path.Join(folder, name) == file, !strings.Contains(name, "..") && strings.HasSuffix(file, "/"+relative):
		return matchPath
	}
	// A path on the partner's own machine: only the name can be compared.
	slashed := strings.ReplaceAll(name, `\`, "/")
	if path.IsAbs(slashed) || len(slashed) > 2 && slashed[1] == ':' && slashed[2] == '/' {
		if path.Base(slashed) == base {
			return matchOtherFolder
		}
		return matchNone
	}
	if slashed != name && (slashed == base || strings.HasSuffix(file, "/"+strings.TrimPrefix(slashed, "./"))) {
		return matchLoose
	}
	if strings.EqualFold(strings.TrimPrefix(name, "./"), base) {
		return matchOtherCase
	}
	return matchNone
}

// hasNames reports whether any line of the checksum file names a file.
func hasNames(lines []string, algo string) bool {
	for _, line := range lines {
		if entry, ok := parseSumsLine(line, algo); ok && len(entry.names) > 0 {
			return true
		}
	}
	return false
}

// mentions reports whether an unreadable line contains the file name.
func mentions(line, name string) bool {
	at := strings.Index(line, name)
	if at < 0 {
		return false
	}
	delimited := func(text string, at int) bool {
		return at < 0 || at >= len(text) || strings.IndexByte(" \t*()/\\\"',;:=", text[at]) >= 0
	}
	return delimited(line, at-1) && delimited(line, at+len(name))
}
