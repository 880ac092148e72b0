package transfer

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// allocate reserves blocks for size bytes without changing the file's length, so
// that the length only counts written bytes.
func allocate(f *os.File, size int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, size)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
