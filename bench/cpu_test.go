package bench

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseStat(t *testing.T) {
	t.Parallel()
	stat, err := parseStat([]byte("42 (a) b (c)) S 7 42 42 0 -1 4194560 100 200 0 0 150 50 30 20 20 0 1 0 9000 1 2\n"))
	require.NoError(t, err)
	assert.Equal(t, procStat{parent: 7, own: 2 * time.Second, children: 500 * time.Millisecond}, stat)
	_, err = parseStat([]byte("42 (a) S 7"))
	require.Error(t, err)
}

// TestTreeCPU: a shell has two children. The first burns CPU and ends, the second burns
// CPU until the end.
func TestTreeCPU(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("there is no /proc")
	}
	const burn = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"
	shell := exec.Command("sh", "-c", "("+burn+"); (while :; do :; done) & busy=$!; cat; kill $busy")
	stdin, err := shell.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, shell.Start())
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = shell.Wait()
	})
	var first, later time.Duration
	require.Eventually(t, func() bool { first, err = TreeCPU(shell.Process.Pid); return err == nil && first > 50*time.Millisecond },
		time.Minute, 10*time.Millisecond)
	require.Eventually(t, func() bool {
		later, err = TreeCPU(shell.Process.Pid)
		return err == nil && later > first+50*time.Millisecond
	},
		time.Minute, 10*time.Millisecond)
	_, err = TreeCPU(1 << 30)
	require.ErrorContains(t, err, "has ended")
}
