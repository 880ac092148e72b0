package activities

import (
	"encoding/hex"
	"strings"
	"testing"
)

// FuzzChecksumFile: what is found in a checksum file is a digest of the length of
// its algorithm which stands there. Nothing is found for a name that does not.
func FuzzChecksumFile(f *testing.F) {
	sha, md5 := strings.Repeat("ab", 32), strings.Repeat("cd", 16)
	for _, text := range []string{
		"", sha, sha + "  a.csv\n", sha + " *a.csv\r\n", "SHA256 (a.csv) = " + sha, md5 + "\ta.csv", "\ufeff" + sha + "  ./out/a.csv", "\\" + sha + "  a\\nb.csv",
		strings.ToUpper(sha), "MD5 (a.csv) = " + md5, sha + "  a b.csv", "\xff\xfea\x00b\x00", "q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=  a.csv",
	} {
		for _, sidecar := range []string{"/in/a.csv.sha256", "/in/SHA256SUMS", "/in/a.csv.md5"} {
			f.Add(sidecar, []byte(text), "a.csv")
		}
	}
	f.Fuzz(func(t *testing.T, sidecar string, text []byte, name string) {
		found, ok := findChecksum(sidecar, text, name)
		if !ok {
			if found != (checksum{}) {
				t.Errorf("nothing is found, and yet %+v", found)
			}
			return
		}
		raw, err := hex.DecodeString(found.digest)
		if err != nil || len(raw) != digestBytes[found.algo] || found.digest != strings.ToLower(found.digest) {
			t.Errorf("%+v", found)
		}
		if !strings.Contains(strings.ToLower(string(text)), found.digest) {
			t.Errorf("%s is not in %q", found.digest, text)
		}
	})
}
