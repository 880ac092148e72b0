package activities

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/assert"
	"golang.org/x/crypto/blake2b"
)

func hexOf(sum []byte) string { return hex.EncodeToString(sum) }

// utf16Of encodes text as Windows tools do.
func utf16Of(text string, order binary.AppendByteOrder, mark bool) string {
	units := utf16.Encode([]rune(text))
	if mark {
		units = append([]uint16{0xfeff}, units...)
	}
	var out []byte
	for _, unit := range units {
		out = order.AppendUint16(out, unit)
	}
	return string(out)
}

// TestChecksumFileFormats: the checksums are for the file /in/sub/a.csv unless stated
// otherwise.
func TestChecksumFileFormats(t *testing.T) {
	t.Parallel()
	content := []byte("hello,world\n")
	s256, s512, m5, s1 := sha256.Sum256(content), sha512.Sum512(content), md5.Sum(content), sha1.Sum(content)
	b2, b256 := blake2b.Sum512(content), blake2b.Sum256(content)
	good, other := hexOf(s256[:]), strings.Repeat("0f", 32)
	b64 := base64.StdEncoding.EncodeToString(s256[:])
	var pairs []string
	for _, b := range s256 {
		pairs = append(pairs, hexOf([]byte{b}))
	}
	const own, list = "/in/sub/a.csv.sha256", "/in/sub/SHA256SUMS"
	for name, c := range map[string]struct {
		sidecar, text string
		file          string // default /in/sub/a.csv
		want          string // the digest; empty when there is none
		why           string
	}{
		"only another folder's":        {list, other + "  old/a.csv\n", "", "", "does not list it"},
		"another folder's before":      {list, other + "  old/a.csv\n" + good + "  a.csv\n", "", good, ""},
		"another folder's after":       {list, good + "  a.csv\n" + other + "  old/a.csv\n", "", good, ""},
		"from the folder above":        {list, good + "  sub/a.csv\n", "", good, ""},
		"from the root":                {list, good + "  /in/sub/a.csv\n", "", good, ""},
		"up and down":                  {list, good + "  ../sub/a.csv\n", "", good, ""},
		"up and elsewhere":             {list, other + "  ../old/a.csv\n", "", "", "does not list it"},
		"dot":                          {list, good + "  ./a.csv\n", "", good, ""},
		"binary":                       {list, good + " *a.csv\n", "", good, ""},
		"asterisk in the name":         {list, other + "  *a.csv\n" + good + "  a.csv\n", "", good, ""},
		"of the name with an asterisk": {list, good + "  *a.csv\n" + other + "  a.csv\n", "/in/sub/*a.csv", good, ""},
		"name with spaces":             {list, good + "  my  file (1).csv\n", "/in/sub/my  file (1).csv", good, ""},
		"leading space":                {list, good + "   a.csv\n", "/in/sub/ a.csv", good, ""},
		"several spaces":               {list, good + "     a.csv\n", "", good, ""},
		"tab":                          {list, good + "\ta.csv\n", "", good, ""},
		"escaped line break":           {list, `\` + good + `  a\nb.csv` + "\n", "/in/sub/a\nb.csv", good, ""},
		"escaped backslash":            {list, `\` + good + `  a\\b.csv` + "\n", `/in/sub/a\b.csv`, good, ""},
		"escaped return":               {list, `\` + good + `  a\rb.csv` + "\n", "/in/sub/a\rb.csv", good, ""},
		"backslash, not escaped":       {list, good + `  a\nb.csv` + "\n", `/in/sub/a\nb.csv`, good, ""},
		"BSD":                          {list, "SHA256 (a.csv) = " + good + "\n", "", good, ""},
		"BSD with brackets":            {list, "SHA256 (a (1).csv) = " + good + "\n", "/in/sub/a (1).csv", good, ""},
		"BSD of another folder":        {list, "SHA256 (old/a.csv) = " + other + "\n", "", "", "does not list it"},
		"OpenSSL":                      {own, "SHA2-256(a.csv)= " + good + "\n", "", good, ""},
		"BSD of two algorithms":        {list, "MD5 (a.csv) = " + hexOf(m5[:]) + "\nSHA256 (a.csv) = " + good + "\n", "", good, ""},
		"upper case":                   {list, strings.ToUpper(good) + "  a.csv\n", "", good, ""},
		"name in other letters":        {list, good + "  A.CSV\n", "", good, ""},
		"letters first":                {list, other + "  A.csv\n" + good + "  a.csv\n", "", good, ""},
		"UTF-8 mark and CRLF":          {list, "\ufeff" + good + "  a.csv\r\n", "", good, ""},
		"UTF-16 LE":                    {list, utf16Of(good+"  a.csv\r\n", binary.LittleEndian, true), "", good, ""},
		"UTF-16 BE":                    {list, utf16Of(good+"  a.csv\r\n", binary.BigEndian, true), "", good, ""},
		"UTF-16 without mark":          {list, utf16Of(good+"  a.csv\r\n", binary.LittleEndian, false), "", good, ""},
		"old Mac line ends":            {list, other + "  b.csv\r" + good + "  a.csv\r", "", good, ""},
		"comments":                     {list, "# made by x\n; y\n\n" + good + "  a.csv\n", "", good, ""},
		"signed":                       {list, "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n" + good + "  a.csv\n-----BEGIN PGP SIGNATURE-----\n" + other + "  a.csv\n", "", good, ""},
		"base64":                       {own, b64 + "\n", "", good, ""},
		"base64 with a name":           {list, b64 + "  a.csv\n", "", good, ""},
		"subresource":                  {own, "sha256-" + b64 + "\n", "", good, ""},
		"prefix":                       {own, "sha256:" + good + "\n", "", good, ""},
		"prefix and name":              {list, "SHA-256 = " + good + " a.csv\n", "", good, ""},
		"name first":                   {list, "a.csv  " + good + "\n", "", good, ""},
		"name, colon":                  {list, "a.csv: " + good + "\n", "", good, ""},
		"comma":                        {list, "a.csv," + good + "\n", "", good, ""},
		"comma, digest first":          {list, good + ",a.csv\n", "", good, ""},
		"quoted":                       {list, good + `  "a.csv"` + "\n", "", good, ""},
		"PowerShell":                   {list, "Algorithm       Hash    Path\n---------       ----   ----\nSHA256          " + strings.ToUpper(good) + "       C:\\out\\a.csv\n", "", good, ""},
		"certutil":                     {own, "SHA256 hash of a.csv:\r\n" + good + "\r\nCertUtil: -hashfile command completed successfully.\r\n", "", good, ""},
		"certutil of old":              {own, "SHA256 hash of file a.csv:\r\n" + strings.Join(pairs, " ") + "\r\n", "", good, ""},
		"path of Windows":              {list, good + `  C:\out\a.csv` + "\n", "", good, ""},
		"relative path of Windows":     {list, good + `  sub\a.csv` + "\n", "", good, ""},
		"bare":                         {own, good, "", good, ""},
		"SHA-512":                      {"/in/sub/a.csv.sha512", hexOf(s512[:]) + "  a.csv\n", "", hexOf(s512[:]), ""},
		"SHA512SUMS":                   {"/in/sub/SHA512SUMS", hexOf(s512[:]) + "  a.csv\n", "", hexOf(s512[:]), ""},
		"SHA-1":                        {"/in/sub/a.csv.sha1", hexOf(s1[:]) + "  a.csv\n", "", hexOf(s1[:]), ""},
		"MD5 in capitals":              {"/in/sub/a.csv.MD5", hexOf(m5[:]) + "  a.csv\n", "", hexOf(m5[:]), ""},
		"BLAKE2":                       {"/in/sub/B2SUMS", hexOf(b2[:]) + "  a.csv\n", "", hexOf(b2[:]), ""},
		"shorter BLAKE2":               {"/in/sub/a.csv.b2", hexOf(b256[:]) + "  a.csv\n", "", hexOf(b256[:]), ""},
		"any algorithm":                {"/in/sub/checksums.txt", hexOf(s512[:]) + "  a.csv\n", "", hexOf(s512[:]), ""},
		"without its extension":        {"/in/sub/a.sha256", good + "\n", "", good, ""},

		"digest of another length": {own, hexOf(m5[:]) + "  a.csv\n", "", "", "has no readable SHA-256 digest of the file"},
		"another file":             {own, other + "  b.csv\n", "", "", "lists another file"},
		"cut off":                  {list, good[:50] + "  a.csv\n", "", "", "has no readable SHA-256 digest of the file"},
		"two digests":              {list, good + "  a.csv\n" + other + "  a.csv\n", "", "", "has two different SHA-256 digests for the file"},
		"the same twice":           {list, good + "  a.csv\n" + good + "  ./a.csv\n", "", good, ""},
		"bare in a list":           {list, good + "\n", "", "", "does not list it"},
		"empty":                    {own, "", "", "", "is empty"},
		"blank":                    {own, " \r\n\n", "", "", "is empty"},
		"CRC":                      {"/in/sub/a.csv.sfv", "a.csv DEADBEEF\n", "", "", "is of an algorithm that is not supported"},
		"a line without end":       {list, strings.Repeat("x", 100<<10), "", "", "has a line that is too long to be one of a checksum file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := c.file
			if file == "" {
				file = "/in/sub/a.csv"
			}
			got, why := findChecksum(c.sidecar, []byte(c.text), file)
			assert.Equal(t, c.want, got.digest)
			assert.Equal(t, c.why, why)
		})
	}
}

// TestInexactMatches: names in another machine's folder or in another case.
func TestInexactMatches(t *testing.T) {
	t.Parallel()
	other := strings.Repeat("0f", 32)
	for _, line := range []string{`C:\old\a.csv`, "/srv/old/a.csv", "A.CSV"} {
		got, _ := findChecksum("/in/SHA256SUMS", []byte(other+"  "+line+"\n"), "/in/a.csv")
		assert.True(t, got.inexact, line)
		got, _ = findChecksum("/in/a.csv.sha256", []byte(other+"  "+line+"\n"), "/in/a.csv")
		assert.False(t, got.inexact, line)
	}
}

// FuzzFindChecksum: no text causes a panic or a digest of another length.
func FuzzFindChecksum(f *testing.F) {
	f.Add("SHA256SUMS", []byte(strings.Repeat("ab", 32)+"  a.csv\n"), "a.csv")
	f.Add("a.csv.b2", []byte("\xff\xfea\x00"), "a.csv")
	f.Fuzz(func(t *testing.T, sidecar string, text []byte, name string) {
		got, why := findChecksum("/in/"+sidecar, text, "/in/"+name)
		if (why == "") != (got.digest != "") || got.digest != "" && len(got.digest) != 2*digestBytes[got.algo] {
			t.Fatalf("%+v %q", got, why)
		}
	})
}
