package activities

import (
	"encoding/hex"
	"path"
	"strings"
)

// checksum is what a partner says a file's digest is. The zero value is none.
type checksum struct {
	algo   string // "sha256" or "md5"
	digest string // lower-case hex
}

// digestBytes is the length of a digest by algorithm.
var digestBytes = map[string]int{"sha256": 32, "md5": 16}

// findChecksum looks up name in the text of a checksum file. It reads the
// formats of sha256sum and md5sum ("digest  name", "digest *name", names with
// a folder), the BSD form ("SHA256 (name) = digest") and a bare digest, which
// only a file's own sidecar may hold.
func findChecksum(sidecar string, text []byte, name string) (checksum, bool) {
	algo := sidecarAlgo(sidecar)
	bare := strings.TrimSuffix(path.Base(sidecar), path.Ext(sidecar)) == name
	for line := range strings.Lines(strings.TrimPrefix(string(text), "\ufeff")) {
		digest, of := splitChecksumLine(strings.TrimRight(line, "\r\n"))
		if raw, err := hex.DecodeString(digest); err != nil || len(raw) != digestBytes[algo] {
			continue
		}
		if path.Base(of) == name || (of == "" && bare) {
			return checksum{algo: algo, digest: strings.ToLower(digest)}, true
		}
	}
	return checksum{}, false
}

// sidecarAlgo tells the algorithm by the checksum file's name.
func sidecarAlgo(sidecar string) string {
	if base := strings.ToLower(path.Base(sidecar)); strings.HasSuffix(base, ".md5") || base == "md5sums" {
		return "md5"
	}
	return "sha256"
}

// splitChecksumLine returns the digest and the name of one line.
func splitChecksumLine(line string) (digest, name string) {
	if open, rest, ok := strings.Cut(line, " ("); ok && !strings.Contains(open, " ") {
		if at := strings.LastIndex(rest, ") = "); at >= 0 {
			return strings.TrimSpace(rest[at+4:]), rest[:at]
		}
	}
	digest, name, _ = strings.Cut(strings.TrimSpace(line), " ")
	return digest, strings.TrimPrefix(strings.TrimLeft(name, " "), "*")
}
