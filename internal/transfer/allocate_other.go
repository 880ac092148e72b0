//go:build !linux

package transfer

import (
	"os"

	"golang.org/x/sys/unix"
)

// allocate is for Linux only; elsewhere the check of the free space has to do.
func allocate(*os.File, int64) error { return unix.EOPNOTSUPP }
