package bench

import (
	"fmt"
	"os"
	"strconv"
)

const (
	// Servers is how many OpenSSH servers the files are spread over.
	Servers = 4
	// PerServer is how many files of a server are on their way at a time.
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

// The names of the workloads, which say the unit of their rates.
const (
	SmallName = "small files/s"
	LargeName = "large MiB/s"
	HugeName  = "huge MiB/s"
	MixName   = "mix MiB/s"
)

// Workloads are all of them in the order of the report.
var Workloads = []string{SmallName, LargeName, HugeName, MixName}

// Settings say how much is done.
type Settings struct {
	// Files is how many small files there are (LOAD_FILES, 1000); 0 leaves them out.
	Files int `json:"files"`
	// LargeMiB is the size of each of four large files (LOAD_LARGE_MIB, 256); 0
	// leaves them out.
	LargeMiB int `json:"large_mib"`
	// HugeMiB is the size of the one huge file (LOAD_HUGE_MIB, 4096); 0 leaves it
	// out.
	HugeMiB int `json:"huge_mib"`
	// MixFiles is how many files of log-normal sizes there are (LOAD_MIX_FILES,
	// 600), MixMiB how much they hold together (LOAD_MIX_MIB, 600); 0 of either
	// leaves them out.
	MixFiles int `json:"mix_files"`
	MixMiB   int `json:"mix_mib"`
	// Rounds is how often everybody's turn comes (LOAD_ROUNDS, 3).
	Rounds int `json:"rounds"`
	// HashFiles is how many of the small files rclone also copies with its hash
	// check, which runs md5sum on the server for each (LOAD_HASH_FILES, 100); 0
	// leaves that out.
	HashFiles int `json:"hash_files"`
	// JSON names a file for the report (LOAD_JSON); empty is none.
	JSON string `json:"-"`
}

// LoadSettings reads the environment.
func LoadSettings() (s Settings, err error) {
	for _, v := range []struct {
		name             string
		otherwise, least int
		set              *int
	}{
		{"LOAD_FILES", 1000, 0, &s.Files}, {"LOAD_LARGE_MIB", 256, 0, &s.LargeMiB}, {"LOAD_HUGE_MIB", 4096, 0, &s.HugeMiB},
		{"LOAD_MIX_FILES", 600, 0, &s.MixFiles}, {"LOAD_MIX_MIB", 600, 0, &s.MixMiB},
		{"LOAD_HASH_FILES", 100, 0, &s.HashFiles}, {"LOAD_ROUNDS", 3, 1, &s.Rounds},
	} {
		if *v.set, err = number(v.name, v.otherwise, v.least); err != nil {
			return s, err
		}
	}
	s.JSON = os.Getenv("LOAD_JSON")
	return s, nil
}

// Chosen returns the names of the workloads that are measured.
func (s Settings) Chosen() (names []string) {
	for i, chosen := range []bool{s.Files > 0, s.LargeMiB > 0, s.HugeMiB > 0, s.MixFiles > 0 && s.MixMiB > 0} {
		if chosen {
			names = append(names, Workloads[i])
		}
	}
	return names
}

// number reads a variable that is not less than least; empty is the default.
func number(name string, otherwise, least int) (int, error) {
	text := os.Getenv(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least {
		return 0, fmt.Errorf("%s=%q must be a whole number from %d on", name, text, least)
	}
	return n, nil
}
