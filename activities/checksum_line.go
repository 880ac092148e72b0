package activities

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"
	"unicode/utf16"

	"stevedore/internal/ingest"
)

// sumsLines returns the significant lines of a checksum file, or why there are none.
func sumsLines(text []byte) (lines []string, why string) {
	plain := string(plainText(text))
	if !strings.Contains(plain, "\n") {
		plain = strings.ReplaceAll(plain, "\r", "\n")
	}
	for line := range strings.Lines(plain) {
		line = strings.TrimRight(line, "\r\n")
		trimmed := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(trimmed, "-----BEGIN PGP SIGNATURE"):
			return lines, emptyIf(lines)
		case trimmed == "", strings.HasPrefix(trimmed, "#"), strings.HasPrefix(trimmed, ";"), strings.HasPrefix(trimmed, "//"),
			strings.HasPrefix(trimmed, "-----BEGIN PGP"):
		case len(line) > maxSumsLine:
			return nil, "has a line that is too long to be one of a checksum file"
		default:
			lines = append(lines, line)
		}
	}
	return lines, emptyIf(lines)
}

// sumsEmpty describes a checksum file without entries, which may still be written.
const sumsEmpty = "is empty"

func emptyIf(lines []string) string {
	if len(lines) == 0 {
		return sumsEmpty
	}
	return ""
}

// plainText converts UTF-16 to UTF-8 and returns other encodings unchanged. It detects
// UTF-16 by the byte order mark, or by zero bytes in the digest at the beginning.
func plainText(text []byte) []byte {
	switch {
	case bytes.HasPrefix(text, []byte("\xef\xbb\xbf")):
		return text[3:]
	case bytes.HasPrefix(text, []byte("\xff\xfe")):
		return fromUTF16(text[2:], binary.LittleEndian)
	case bytes.HasPrefix(text, []byte("\xfe\xff")):
		return fromUTF16(text[2:], binary.BigEndian)
	case len(text) >= 4 && text[0] != 0 && text[1] == 0 && text[2] != 0 && text[3] == 0:
		return fromUTF16(text, binary.LittleEndian)
	case len(text) >= 4 && text[0] == 0 && text[1] != 0 && text[2] == 0 && text[3] != 0:
		return fromUTF16(text, binary.BigEndian)
	default:
		return text
	}
}

func fromUTF16(text []byte, order binary.ByteOrder) []byte {
	units := make([]uint16, len(text)/2)
	for i := range units {
		units[i] = order.Uint16(text[2*i:])
	}
	return []byte(string(utf16.Decode(units)))
}

var (
	// "SHA256 (name) = digest" of BSD, "SHA2-256(name)= digest" of OpenSSL.
	bsdLine = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9/-]*) ?\((.*)\) ?= ?(\S+)\s*$`)
	// "sha256:digest", "SHA-256 = digest", "sha256-digest" of the Web, "Hash : digest"
	// and "SHA256   digest   name" of PowerShell.
	taggedLine = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9]*(?:-[0-9]{1,3})?)(?:\s*[:=]\s*|-|\s+)(\S+)(\s.*)?$`)
	// "digest  name" in its variants.
	digestFirst = regexp.MustCompile(`^(\S+?)(?:[,;]|(\s)|$)(.*)$`)
	// "name digest", with a separator or without.
	digestLast = regexp.MustCompile(`^(.*\S)\s*(?:\s|[,;:=])\s*(\S+)\s*$`)
	// Separated bytes, as certutil writes them.
	hexPairs = regexp.MustCompile(`^[0-9A-Fa-f]{2}( [0-9A-Fa-f]{2}){15,}$`)
)

// parseSumsLine parses one line of a checksum file. algo is the file's algorithm;
// empty if the line states it.
func parseSumsLine(line, algo string) (entry sumsEntry, ok bool) {
	line = strings.TrimLeft(line, " \t")
	escaped := strings.HasPrefix(line, `\`)
	if escaped {
		line = line[1:]
	}
	for _, read := range []func(line, algo string) (sumsEntry, bool){readBSD, readPairs, readDigestFirst, readTagged, readDigestLast} {
		if entry, ok = read(line, algo); ok {
			break
		}
	}
	if escaped {
		for i, name := range entry.names {
			entry.names[i] = unescape(name)
		}
	}
	return entry, ok
}

// unescape reverts the escapes of GNU tools in names with a line break or backslash.
func unescape(name string) string {
	return strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\r`, "\r").Replace(name)
}

func readBSD(line, _ string) (sumsEntry, bool) {
	parts := bsdLine.FindStringSubmatch(line)
	if parts == nil {
		return sumsEntry{}, false
	}
	algo, known := tagAlgo(parts[1])
	if !known {
		return sumsEntry{}, false
	}
	sum, ok := readDigest(parts[3], algo)
	return sumsEntry{checksum: sum, names: []string{parts[2]}}, ok
}

func readPairs(line, algo string) (sumsEntry, bool) {
	if !hexPairs.MatchString(strings.TrimSpace(line)) {
		return sumsEntry{}, false
	}
	sum, ok := readDigest(strings.ReplaceAll(strings.TrimSpace(line), " ", ""), algo)
	return sumsEntry{checksum: sum}, ok
}

// readDigestFirst reads "digest  name". After the digest and a space follows a space or
// an asterisk, which states the read mode, and then the name.
func readDigestFirst(line, algo string) (sumsEntry, bool) {
	parts := digestFirst.FindStringSubmatch(line)
	if parts == nil {
		return sumsEntry{}, false
	}
	sum, ok := readDigest(parts[1], algo)
	if !ok {
		return sumsEntry{}, false
	}
	entry, rest := sumsEntry{checksum: sum}, parts[3]
	if strings.TrimSpace(rest) == "" {
		return entry, true
	}
	if parts[2] != "" && (rest[0] == ' ' || rest[0] == '*') {
		entry.names = append(entry.names, rest[1:])
	} else {
		entry.names = append(entry.names, rest)
	}
	entry.names = append(entry.names, looseName(rest))
	return entry, true
}

// looseName removes spaces, an asterisk and quotes around a name.
func looseName(text string) string {
	name := strings.TrimSpace(text)
	name = strings.TrimPrefix(name, "*")
	if len(name) > 1 && (name[0] == '"' || name[0] == '\'') && name[len(name)-1] == name[0] {
		name = name[1 : len(name)-1]
	}
	return name
}

func readTagged(line, algo string) (sumsEntry, bool) {
	parts := taggedLine.FindStringSubmatch(line)
	if parts == nil {
		return sumsEntry{}, false
	}
	tag, known := tagAlgo(parts[1])
	switch {
	case known:
		algo = tag
	case !strings.EqualFold(parts[1], "hash"):
		return sumsEntry{}, false
	}
	sum, ok := readDigest(parts[2], algo)
	entry := sumsEntry{checksum: sum}
	if rest := parts[3]; strings.TrimSpace(rest) != "" {
		entry.names = []string{looseName(rest)}
	}
	return entry, ok
}

func readDigestLast(line, algo string) (sumsEntry, bool) {
	parts := digestLast.FindStringSubmatch(line)
	if parts == nil {
		return sumsEntry{}, false
	}
	sum, ok := readDigest(parts[2], algo)
	return sumsEntry{checksum: sum, names: []string{parts[1], looseName(strings.TrimRight(parts[1], ",;:= \t"))}}, ok
}

// digestBytes maps algorithms to the length of their digests in bytes.
var digestBytes = map[string]int{
	ingest.AlgoMD5: 16, ingest.AlgoSHA1: 20, ingest.AlgoSHA224: 28, ingest.AlgoSHA256: 32, ingest.AlgoSHA384: 48, ingest.AlgoSHA512: 64,
	ingest.AlgoBLAKE2b: 64, "blake2b-160": 20, "blake2b-256": 32, "blake2b-384": 48, ingest.AlgoBLAKE2s: 32,
}

// algoStrength lists the algorithms, the strongest first. A digest without a stated
// algorithm is assigned to the first one of its length.
var algoStrength = []string{
	ingest.AlgoSHA256, ingest.AlgoSHA512, ingest.AlgoSHA384, ingest.AlgoSHA224, ingest.AlgoBLAKE2b, "blake2b-384", "blake2b-256",
	ingest.AlgoBLAKE2s, "blake2b-160", ingest.AlgoSHA1, ingest.AlgoMD5,
}

func algoRank(algo string) int { return slices.Index(algoStrength, algo) }

// algoLabel returns an algorithm's display name and a space; empty if unknown.
func algoLabel(algo string) string {
	switch {
	case algo == "":
		return ""
	case strings.HasPrefix(algo, "sha") && algo != ingest.AlgoSHA1:
		return "SHA-" + algo[3:] + " "
	case algo == ingest.AlgoSHA1:
		return "SHA-1 "
	case strings.HasPrefix(algo, "blake2"):
		return "BLAKE" + algo[5:] + " "
	default:
		return strings.ToUpper(algo) + " "
	}
}

// tagAlgo returns the algorithm of a tag in a line, such as "SHA2-256" or "sha-1".
func tagAlgo(tag string) (string, bool) {
	plain := strings.ToLower(tag)
	if algo, ok := strings.CutPrefix(plain, "sha2-"); ok {
		plain = "sha" + algo
	}
	switch short := strings.ReplaceAll(plain, "-", ""); {
	case short == "blake2b512", short == "blake2b":
		return ingest.AlgoBLAKE2b, true
	case short == "blake2s256", short == "blake2s":
		return ingest.AlgoBLAKE2s, true
	case strings.HasPrefix(plain, "blake2b-"):
		_, ok := digestBytes[plain]
		return plain, ok
	default:
		_, ok := digestBytes[short]
		return short, ok
	}
}

// readDigest reads a digest of the algorithm in hex or base64. An empty algorithm is
// detected by the length.
func readDigest(text, algo string) (checksum, bool) {
	for _, raw := range digestReadings(text) {
		for _, candidate := range algoStrength {
			same := candidate == algo || algo == "" || algo == ingest.AlgoBLAKE2b && strings.HasPrefix(candidate, algo)
			if same && len(raw) == digestBytes[candidate] {
				return checksum{algo: candidate, digest: hex.EncodeToString(raw)}, true
			}
		}
	}
	return checksum{}, false
}

// maxDigestText exceeds the length of any digest's text.
const maxDigestText = 200

func digestReadings(text string) (all [][]byte) {
	if len(text) > maxDigestText {
		return nil
	}
	if raw, err := hex.DecodeString(text); err == nil {
		return [][]byte{raw}
	}
	unpadded := strings.TrimRight(text, "=")
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if raw, err := encoding.DecodeString(unpadded); err == nil {
			all = append(all, raw)
		}
	}
	return all
}
