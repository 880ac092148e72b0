package ingest

import "strconv"

// Counted returns n with the words for its singular or plural: "1 file is", "2
// files are".
func Counted(n int64, one, several string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.FormatInt(n, 10) + " " + several
}
