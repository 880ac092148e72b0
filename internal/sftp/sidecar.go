package sftp

import "strings"

// The checksum files that servers offer, best first: a file's own before the
// folder's, SHA-256 before MD5.
const (
	suffixSHA256 = ".sha256"
	suffixMD5    = ".md5"
	sumsSHA256   = "SHA256SUMS"
	sumsMD5      = "MD5SUMS"
)

// isChecksumName reports whether a file of the name could be a checksum.
func isChecksumName(name string) bool {
	return name == sumsSHA256 || name == sumsMD5 || strings.HasSuffix(name, suffixSHA256) || strings.HasSuffix(name, suffixMD5)
}

// sidecars knows which files of one folder are checksums of which others.
type sidecars struct {
	// regular has the names of the folder's regular files that may be used.
	regular map[string]bool
	// lists has SHA256SUMS and MD5SUMS, where there is anything for them to cover.
	lists map[string]bool
}

func newSidecars(regular map[string]bool) sidecars {
	s := sidecars{regular: regular, lists: make(map[string]bool)}
	for name := range regular {
		if name != sumsSHA256 && name != sumsMD5 && !s.belongs(name) {
			// There is a file: the lists, if any, are about it.
			s.lists[sumsSHA256], s.lists[sumsMD5] = regular[sumsSHA256], regular[sumsMD5]
			break
		}
	}
	return s
}

// is reports whether the file is a checksum of others and not one to be taken.
func (s sidecars) is(name string) bool { return s.lists[name] || s.belongs(name) }

// belongs reports whether the file is the checksum of a file beside it.
func (s sidecars) belongs(name string) bool {
	for _, suffix := range []string{suffixSHA256, suffixMD5} {
		if of, ok := strings.CutSuffix(name, suffix); ok && s.regular[name] && s.regular[of] {
			return true
		}
	}
	return false
}

// of returns the name of the best checksum file for name, empty if none.
func (s sidecars) of(name string) string {
	for _, candidate := range []struct {
		name  string
		there bool
	}{
		{name + suffixSHA256, s.regular[name+suffixSHA256]},
		{sumsSHA256, s.lists[sumsSHA256]},
		{name + suffixMD5, s.regular[name+suffixMD5]},
		{sumsMD5, s.lists[sumsMD5]},
	} {
		if candidate.there {
			return candidate.name
		}
	}
	return ""
}
