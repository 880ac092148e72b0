package telemetry

import (
	"math"
	"os"
	"path"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
)

// memoryShare is the share of the cgroup's limit that is set as Go's memory limit. The
// rest is for memory that the Go runtime does not count.
const memoryShare = 0.9

// LimitMemory sets Go's memory limit to a share of the cgroup's limit, unless GOMEMLIMIT
// is set. The garbage collector then runs more often before the kernel kills the process.
// LimitMemory returns the limit in bytes, 0 for none.
func LimitMemory() int64 {
	if os.Getenv("GOMEMLIMIT") == "" {
		if limit := cgroupLimit("/"); limit > 0 {
			debug.SetMemoryLimit(int64(float64(limit) * memoryShare))
		}
	}
	return memoryLimit()
}

// memoryLimit returns Go's memory limit in bytes, 0 for none.
func memoryLimit() int64 {
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		return limit
	}
	return 0
}

// memoryInUse returns the bytes that count towards Go's memory limit.
func memoryInUse() float64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return float64(samples[0].Value.Uint64()) - float64(samples[1].Value.Uint64())
}

// cgroupLimit returns the smallest memory limit of this process's cgroup and its
// ancestors in bytes, for cgroup version 2 or 1; 0 for none. root is the root folder.
func cgroupLimit(root string) (limit int64) {
	own, err := os.ReadFile(path.Join(root, "proc/self/cgroup"))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(own)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		folder, name := "sys/fs/cgroup", "memory.max"
		switch {
		case parts[1] == "memory":
			folder, name = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		case parts[1] != "":
			continue
		}
		for at := path.Clean("/" + parts[2]); ; at = path.Dir(at) {
			limit = smaller(limit, path.Join(root, folder, at, name))
			if at == "/" {
				break
			}
		}
	}
	return limit
}

// smaller returns the limit in the file if it is smaller than limit. Version 1 writes
// "no limit" as a number close to 2^63.
func smaller(limit int64, file string) int64 {
	text, err := os.ReadFile(file)
	if err != nil {
		return limit
	}
	read, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || read <= 0 || read > 1<<60 || limit > 0 && limit <= read {
		return limit
	}
	return read
}
