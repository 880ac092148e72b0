package credentials_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"stevedore/internal/credentials"
)

// Without the lock two rotations could read the same keyset, and the second would
// drop the first one's key.
func TestRotationWaitsForAnother(t *testing.T) {
	t.Parallel()
	_, path := open(t)
	folder, err := os.Open(filepath.Dir(path))
	require.NoError(t, err)
	require.NoError(t, unix.Flock(int(folder.Fd()), unix.LOCK_EX))
	var stat unix.Stat_t
	require.NoError(t, unix.Fstat(int(folder.Fd()), &stat))
	before, err := os.ReadFile(path)
	require.NoError(t, err)

	done := make(chan error, 1)
	go func() { done <- credentials.Rotate(path) }()
	require.Eventually(t, func() bool {
		require.Empty(t, done, "the rotation did not wait")
		return waiting(t, stat.Ino)
	}, 30*time.Second, 5*time.Millisecond)
	now, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, before, now)
	require.NoError(t, folder.Close())
	require.NoError(t, <-done)
}

// waiting reports whether a process waits for a lock on the file.
func waiting(t *testing.T, inode uint64) bool {
	locks, err := os.ReadFile("/proc/locks")
	require.NoError(t, err)
	for line := range strings.Lines(string(locks)) {
		if strings.Contains(line, "->") && strings.Contains(line, fmt.Sprintf(":%d ", inode)) {
			return true
		}
	}
	return false
}
