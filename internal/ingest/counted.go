package ingest

import "fmt"

// Counted returns n with the words for its singular or plural: "1 file is", "2
// files are".
func Counted[N int | int64](n N, one, several string) string {
	if n == 1 {
		several = one
	}
	return fmt.Sprintf("%d %s", n, several)
}
