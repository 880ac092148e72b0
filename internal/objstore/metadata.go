package objstore

import (
	"maps"
	"slices"
	"strings"
)

const (
	// sha256Key names the digest in an object's metadata: lower-case hex, plain.
	sha256Key = "sha256"
	// metadataPrefix comes before each key on the wire and counts.
	metadataPrefix = "X-Amz-Meta-"
	// metadataBytes is the room S3 gives to all keys and values of an object.
	metadataBytes = 2048
	// truncatedKey lists the keys whose values had to be cut.
	truncatedKey = "truncated"
)

// userMetadata returns what is stored with an object; sha256 is empty where it
// is not known yet. S3 carries metadata in
// HTTP headers, which are ASCII: every byte but ASCII letters, digits and
// "-_.~/:+=@,()" is percent-encoded, so any URL decoder gives the exact bytes
// back. Where the whole would be refused as too large, the longest values are
// cut and their keys named in "truncated"; the ledger has them whole.
func userMetadata(values map[string]string, sha256 string) map[string]string {
	encoded := map[string]string{}
	if sha256 != "" {
		encoded[sha256Key] = sha256
	}
	for key, value := range values {
		if key = strings.ToLower(key); key != sha256Key && key != truncatedKey {
			encoded[key] = encodeValue(value)
		}
	}
	for _, key := range longestFirst(encoded) {
		if room(encoded) >= 0 {
			break
		}
		encoded[truncatedKey] = strings.TrimPrefix(encoded[truncatedKey]+","+key, ",")
		value := encoded[key]
		encoded[key] = cutEncoded(value, max(0, len(value)+room(encoded)))
	}
	return encoded
}

// room returns how many bytes are left; negative when there are too many.
func room(encoded map[string]string) int {
	left := metadataBytes
	for key, value := range encoded {
		left -= len(metadataPrefix) + len(key) + len(value)
	}
	return left
}

// longestFirst returns the keys whose values may be cut.
func longestFirst(encoded map[string]string) []string {
	keys := slices.Sorted(maps.Keys(encoded))
	keys = slices.DeleteFunc(keys, func(key string) bool { return key == sha256Key })
	slices.SortStableFunc(keys, func(a, b string) int { return len(encoded[b]) - len(encoded[a]) })
	return keys
}

func encodeValue(value string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(value) {
		c := value[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-_.~/:+=@,()", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	}
	return b.String()
}

// cutEncoded shortens an encoded value to at most limit bytes without leaving
// half an escape behind.
func cutEncoded(value string, limit int) string {
	if len(value) <= limit {
		return value
	}
	value = value[:limit]
	if at := strings.LastIndexByte(value, '%'); at >= 0 && at > len(value)-3 {
		value = value[:at]
	}
	return value
}
