package objstore

import (
	"maps"
	"slices"
	"strings"
)

const (
	// sha256Key is the key of the digest in an object's metadata: lower-case hex.
	sha256Key = "sha256"
	// metadataPrefix precedes each key on the wire and counts towards the limit.
	metadataPrefix = "X-Amz-Meta-"
	// metadataBytes is S3's limit for all keys and values of an object.
	metadataBytes = 2048
	// truncatedKey lists the keys of truncated values.
	truncatedKey = "truncated"
)

// userMetadata returns the metadata of an object; sha256 is empty if not known
// yet. S3 carries metadata in HTTP headers, which are ASCII: every byte except
// ASCII letters, digits and "-_.~/:+=@,()" is percent-encoded. If the total
// exceeds the limit, the longest values are truncated and their keys listed in
// "truncated"; the ledger has the complete values.
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

// room returns the number of remaining bytes; negative above the limit.
func room(encoded map[string]string) int {
	left := metadataBytes
	for key, value := range encoded {
		left -= len(metadataPrefix) + len(key) + len(value)
	}
	return left
}

// longestFirst returns the keys whose values may be truncated.
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

// cutEncoded truncates an encoded value to at most limit bytes without splitting
// an escape sequence.
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
