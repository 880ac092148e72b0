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
	RcloneName    = "rclone"
	HashingName   = "rclone with its hash check"
	StevedoreName = "stevedore"
)

// The names of the workloads, which say the unit of their rates.
const (
	SmallName = "small files/s"
	LargeName = "large MiB/s"
)

// Workloads are all of them in the order of the report.
var Workloads = []string{SmallName, LargeName}

// Settings say how much is done.
type Settings struct {
	// Files is how many small files there are (LOAD_FILES, 1000); 0 leaves them out.
	Files int `json:"files"`
	// LargeMiB is the size of each of four large files (LOAD_LARGE_MIB, 256); 0
	// leaves them out.
	LargeMiB int `json:"large_mib"`
	// Rounds is how often everybody's turn comes (LOAD_ROUNDS, 3).
	Rounds int `json:"rounds"`
	// Hashing also lets rclone compare hashes of the small files
	// (LOAD_HASHCHECK=1), which asks the server for one file after the other.
	Hashing bool `json:"hashing"`
	// JSON names a file for the report (LOAD_JSON); empty is none.
	JSON string `json:"-"`
}

// LoadSettings reads the environment.
func LoadSettings() (s Settings, err error) {
	if s.Files, err = number("LOAD_FILES", 1000, 0); err != nil {
		return s, err
	}
	if s.LargeMiB, err = number("LOAD_LARGE_MIB", 256, 0); err != nil {
		return s, err
	}
	if s.Rounds, err = number("LOAD_ROUNDS", 3, 1); err != nil {
		return s, err
	}
	s.Hashing, s.JSON = os.Getenv("LOAD_HASHCHECK") == "1", os.Getenv("LOAD_JSON")
	return s, nil
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
