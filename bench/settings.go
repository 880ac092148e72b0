package bench

import (
	"fmt"
	"os"
	"strconv"
)

const (
	// Servers is the number of OpenSSH servers, over which the files are spread.
	Servers = 4
	// PerServer is the concurrency limit of a server.
	PerServer = 4
	// smallSize is the size of a small file in bytes.
	smallSize = 10 << 10
)

// The names of the contenders.
const (
	CeilingName   = "ceiling"
	EngineName    = "engine ceiling"
	RcloneName    = "rclone"
	HashingName   = "rclone with its hash check"
	StevedoreName = "stevedore"
)

// The names of the workloads, which contain the unit of their rates.
const (
	SmallName = "small files/s"
	LargeName = "large MiB/s"
	HugeName  = "huge MiB/s"
	MixName   = "mix MiB/s"
)

// Workloads are the names of all workloads in the order of the report.
var Workloads = []string{SmallName, LargeName, HugeName, MixName}

// Settings are the sizes of the workloads; 0 omits a workload.
type Settings struct {
	// Files is the number of small files (LOAD_FILES). Default: 1000.
	Files int `json:"files"`
	// LargeMiB is the size of each of four large files (LOAD_LARGE_MIB). Default: 256.
	LargeMiB int `json:"large_mib"`
	// HugeMiB is the size of the single huge file (LOAD_HUGE_MIB). Default: 4096.
	HugeMiB int `json:"huge_mib"`
	// MixFiles is the number of files with log-normal sizes (LOAD_MIX_FILES) and MixMiB
	// their total size (LOAD_MIX_MIB). Defaults: 600.
	MixFiles int `json:"mix_files"`
	MixMiB   int `json:"mix_mib"`
	// Rounds is the number of rounds (LOAD_ROUNDS). Default: 3.
	Rounds int `json:"rounds"`
	// HashFiles is the number of small files that rclone also copies with its hash check
	// (LOAD_HASH_FILES), which runs md5sum on the server for each. Default: 100.
	HashFiles int `json:"hash_files"`
	// JSON is the path of a file for the report (LOAD_JSON). Default: none.
	JSON string `json:"-"`
}

// LoadSettings reads the settings from the environment.
func LoadSettings() (s Settings, err error) {
	for _, v := range []struct {
		name            string
		standard, least int
		set             *int
	}{
		{"LOAD_FILES", 1000, 0, &s.Files}, {"LOAD_LARGE_MIB", 256, 0, &s.LargeMiB}, {"LOAD_HUGE_MIB", 4096, 0, &s.HugeMiB},
		{"LOAD_MIX_FILES", 600, 0, &s.MixFiles}, {"LOAD_MIX_MIB", 600, 0, &s.MixMiB},
		{"LOAD_HASH_FILES", 100, 0, &s.HashFiles}, {"LOAD_ROUNDS", 3, 1, &s.Rounds},
	} {
		if *v.set, err = number(v.name, v.standard, v.least); err != nil {
			return s, err
		}
	}
	s.JSON = os.Getenv("LOAD_JSON")
	return s, nil
}

// Chosen returns the names of the workloads with a size.
func (s Settings) Chosen() (names []string) {
	for i, chosen := range []bool{s.Files > 0, s.LargeMiB > 0, s.HugeMiB > 0, s.MixFiles > 0 && s.MixMiB > 0} {
		if chosen {
			names = append(names, Workloads[i])
		}
	}
	return names
}

// number reads a variable with a default and a minimum.
func number(name string, standard, least int) (int, error) {
	text := os.Getenv(name)
	if text == "" {
		return standard, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least {
		return 0, fmt.Errorf("%s=%q must be a whole number of at least %d", name, text, least)
	}
	return n, nil
}
