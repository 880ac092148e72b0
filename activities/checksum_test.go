package activities

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"
)

func TestFindChecksum(t *testing.T) {
	t.Parallel()
	sha := strings.Repeat("ab", 32)
	md5 := strings.Repeat("cd", 16)
	for name, c := range map[string]struct {
		sidecar, text, want string
	}{
		"sha256sum":             {"/in/a.csv.sha256", sha + "  a.csv\n", sha},
		"binary mark":           {"/in/a.csv.sha256", sha + " *a.csv\n", sha},
		"with a folder":         {"/in/SHA256SUMS", sha + "  ./in/a.csv\n", sha},
		"bare digest":           {"/in/a.csv.sha256", sha, sha},
		"upper case":            {"/in/a.csv.sha256", strings.ToUpper(sha) + "  a.csv", sha},
		"windows line ends":     {"/in/a.csv.sha256", sha + "  a.csv\r\n", sha},
		"byte order mark":       {"/in/a.csv.sha256", "\ufeff" + sha + "  a.csv\n", sha},
		"bsd":                   {"/in/a.csv.sha256", "SHA256 (a.csv) = " + sha + "\n", sha},
		"second line":           {"/in/SHA256SUMS", strings.Repeat("00", 32) + "  b.csv\n" + sha + "  a.csv\n", sha},
		"md5":                   {"/in/a.csv.md5", md5 + "  a.csv\n", md5},
		"md5sums":               {"/in/MD5SUMS", md5 + "  a.csv\n", md5},
		"other name":            {"/in/SHA256SUMS", sha + "  b.csv\n", ""},
		"bare in a common file": {"/in/SHA256SUMS", sha + "\n", ""},
		"wrong length":          {"/in/a.csv.sha256", md5 + "  a.csv\n", ""},
		"no digest":             {"/in/a.csv.sha256", "hello  a.csv\n", ""},
		"empty":                 {"/in/a.csv.sha256", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, why := findChecksum(c.sidecar, []byte(c.text), "/in/a.csv")
			assert.Equal(t, c.want, got.digest)
			assert.Equal(t, c.want != "", why == "", why)
		})
	}
}

func TestFindChecksumAcceptsAnyText(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SliceOf(rapid.Byte()).Draw(t, "text")
		if c, why := findChecksum("/x/a.sha256", text, "/x/a"); (why == "") != (len(c.digest) == 64) {
			t.Fatalf("digest %q", c.digest)
		}
	})
}
