package scale

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Peers are the services whose connections are counted, by their TCP port.
type Peers map[int]string

// Sample is the resource usage of a process at one time.
type Sample struct {
	// At is the time since the first sample.
	At time.Duration
	// Values holds the values by kind: MemoryKind in MiB, other kinds as counts.
	Values map[string]float64
}

// The kinds of samples beside connections, which are named by their peers.
const (
	MemoryKind     = "RSS"
	GoroutinesKind = "goroutines"
	FilesKind      = "open files"
)

// ReadSample reads memory, open files and connections of the process from /proc.
func ReadSample(pid int, peers Peers) (map[string]float64, error) {
	values := map[string]float64{}
	for _, name := range peers {
		values[name] = 0
	}
	inodes, files, err := openFiles(pid)
	if err != nil {
		return nil, err
	}
	values[FilesKind] = float64(files)
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		if err != nil {
			return nil, fmt.Errorf("read connections: %w", err)
		}
		countConnections(text, inodes, peers, values)
	}
	values[MemoryKind], err = residentMiB(pid)
	return values, err
}

// openFiles returns the socket inodes of a process and the number of its open files.
func openFiles(pid int) (inodes map[string]bool, files int, err error) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, 0, fmt.Errorf("read open files: %w", err)
	}
	inodes = map[string]bool{}
	for _, entry := range entries {
		target, err := os.Readlink(filepath.Join(dir, entry.Name()))
		if inode, ok := strings.CutPrefix(target, "socket:["); err == nil && ok {
			inodes[strings.TrimSuffix(inode, "]")] = true
		}
	}
	return inodes, len(entries), nil
}

// countConnections adds the established connections of a table of proc_net(5):
// the fields are the slot, the local and the remote address in hex, the state, and
// the inode in tenth place.
func countConnections(table []byte, inodes map[string]bool, peers Peers, values map[string]float64) {
	const established = "01"
	for line := range bytes.Lines(table) {
		fields := strings.Fields(string(line))
		if len(fields) < 10 || fields[3] != established || !inodes[fields[9]] {
			continue
		}
		_, hex, _ := strings.Cut(fields[2], ":")
		port, err := strconv.ParseInt(hex, 16, 32)
		if name, ok := peers[int(port)]; err == nil && ok {
			values[name]++
		}
	}
}

// residentMiB returns the resident memory of a process (proc_pid_statm(5)).
func residentMiB(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, fmt.Errorf("read memory: %w", err)
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
		return 0, fmt.Errorf("read memory from %q: %w", text, err)
	}
	return float64(resident*int64(os.Getpagesize())) / (1 << 20), nil
}

// Medians returns the medians of a kind in the second and in the last quarter of
// the samples.
func Medians(samples []Sample, kind string) (second, last float64) {
	quarter := len(samples) / 4
	return median(samples[quarter:2*quarter], kind), median(samples[len(samples)-quarter:], kind)
}

func median(samples []Sample, kind string) float64 {
	var values []float64
	for _, s := range samples {
		values = append(values, s.Values[kind])
	}
	slices.Sort(values)
	return values[len(values)/2]
}
