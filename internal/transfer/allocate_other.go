//go:build !linux

package transfer

import (
	"os"

	"golang.org/x/sys/unix"
)

// allocate is only supported on Linux; elsewhere only the free space is checked.
func allocate(*os.File, int64) error { return unix.EOPNOTSUPP }
