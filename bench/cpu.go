package bench

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// tick is the unit of CPU times in /proc: USER_HZ is 100 on every architecture
// that Go supports.
const tick = 10 * time.Millisecond

// procStat is a part of /proc/PID/stat (proc_pid_stat(5)).
type procStat struct {
	parent int
	// own is the CPU time of the process, children the CPU time of its descendants that
	// have ended and were waited for.
	own, children time.Duration
}

// TreeCPU returns the CPU time of a process and its descendants. A descendant that has
// ended counts once its parent has waited for it.
func TreeCPU(pid int) (time.Duration, error) {
	all, err := readProcesses()
	if err != nil {
		return 0, err
	}
	if _, ok := all[pid]; !ok {
		return 0, fmt.Errorf("process %d has ended", pid)
	}
	below := map[int][]int{}
	for child, stat := range all {
		below[stat.parent] = append(below[stat.parent], child)
	}
	var sum time.Duration
	for queue := []int{pid}; len(queue) > 0; queue = queue[1:] {
		stat := all[queue[0]]
		sum += stat.own + stat.children
		queue = append(queue, below[queue[0]]...)
	}
	return sum, nil
}

// OwnCPU returns the CPU time of this process without its children.
func OwnCPU() (time.Duration, error) {
	stat, err := readProcess(strconv.Itoa(os.Getpid()))
	return stat.own, err
}

func readProcesses() (map[int]procStat, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil || len(dirs) == 0 {
		return nil, fmt.Errorf("CPU times need /proc: %w", err)
	}
	all := map[int]procStat{}
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		if stat, err := readProcess(filepath.Base(dir)); err == nil { // it may have ended meanwhile
			all[pid] = stat
		}
	}
	return all, nil
}

func readProcess(pid string) (s procStat, err error) {
	text, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return s, err
	}
	return parseStat(text)
}

// parseStat parses /proc/PID/stat. It skips the name in brackets, which may contain any
// character.
func parseStat(text []byte) (s procStat, err error) {
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 15 {
		return s, fmt.Errorf("unexpected process status %q", text)
	}
	var numbers [5]int
	for i, at := range []int{1, 11, 12, 13, 14} { // ppid, utime, stime, cutime, cstime
		if numbers[i], err = strconv.Atoi(string(fields[at])); err != nil {
			return s, err
		}
	}
	return procStat{
		parent: numbers[0], own: time.Duration(numbers[1]+numbers[2]) * tick, children: time.Duration(numbers[3]+numbers[4]) * tick,
	}, nil
}
