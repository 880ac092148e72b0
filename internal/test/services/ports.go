package services

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// The ports of FreePort are below Linux's ephemeral ports (net.ipv4.ip_local_port_range,
// 32768 and above). No connection or listener on port 0 can take one before its server
// listens, or while the server is stopped. Each process has blocks of its own.
const (
	firstPort, blockPorts, blocks = 12_000, 100, 200
	lastPort                      = firstPort + blockPorts*blocks
)

// ports is the block of this process: next is the next port to return, end the end of
// the block.
var ports struct {
	sync.Mutex
	next, end int
}

// FreePort returns a loopback port for a server that is started later. It is
// returned once, and to no other process that uses FreePort.
func FreePort(t testing.TB) int {
	t.Helper()
	ports.Lock()
	defer ports.Unlock()
	for {
		if ports.next == ports.end {
			block, err := lockBlock(filepath.Join(os.TempDir(), "stevedore-test-ports"))
			require.NoError(t, err)
			ports.next, ports.end = block, block+blockPorts
		}
		port := ports.next
		ports.next++
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue // in use by another program
		}
		require.NoError(t, listener.Close())
		return port
	}
}

// lockBlock locks a block of ports until the process ends and returns its first port.
// The search starts at a position derived from the process id, because servers of a
// process that has just ended may still use its block.
func lockBlock(dir string) (first int, err error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return 0, fmt.Errorf("reserve ports: %w", err)
	}
	for i := range blocks {
		first := firstPort + (os.Getpid()+i)%blocks*blockPorts
		fd, err := syscall.Open(filepath.Join(dir, strconv.Itoa(first)), syscall.O_CREAT|syscall.O_RDWR|syscall.O_CLOEXEC, 0o666)
		if err != nil {
			return 0, fmt.Errorf("reserve ports: %w", err)
		}
		if syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			return first, nil // the descriptor stays open: it is the lock
		}
		_ = syscall.Close(fd)
	}
	return 0, fmt.Errorf("reserve ports: all ports from %d to %d are locked by other processes", firstPort, lastPort-1)
}
