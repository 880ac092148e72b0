package ingest

import "strconv"

// Counted returns the number with the words for one or for several, "1 file is" or
// "2 files are".
func Counted(n int64, one, several string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.FormatInt(n, 10) + " " + several
}
