package packages

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// machine describes the installed software. Tests replace its functions.
type machine struct {
	// distribution is the ID of /etc/os-release, such as debian or ubuntu.
	distribution string
	systemd      bool
	// glob returns the files that match the pattern.
	glob func(pattern string) []string
	// look returns the path of a program in PATH, or "".
	look func(name string) string
	// postgres returns the major version of an initdb, or 0.
	postgres func(initdb string) int
	// stub reports whether a browser is only a stub.
	stub func(path string) bool
}

func thisMachine() machine {
	_, err := os.Stat("/run/systemd/system")
	return machine{
		distribution: distribution("/etc/os-release"), systemd: err == nil,
		glob:     func(pattern string) []string { found, _ := filepath.Glob(pattern); return found },
		look:     look,
		postgres: postgresVersion,
		stub:     func(path string) bool { return isStub(path, "/snap/bin/chromium") },
	}
}

func isRoot() bool { return os.Geteuid() == 0 }

func look(name string) string {
	path, err := exec.LookPath(name)
	if err != nil {
		return ""
	}
	if path, err = filepath.Abs(path); err != nil {
		return ""
	}
	return path
}

func distribution(file string) string {
	text, _ := os.ReadFile(file)
	for line := range strings.Lines(string(text)) {
		if id, ok := strings.CutPrefix(strings.TrimSpace(line), "ID="); ok {
			return strings.Trim(id, `"'`)
		}
	}
	return ""
}

// versionText matches the output of initdb --version: initdb (PostgreSQL) 15.8 (Debian
// ...), 9.6.24 or 17beta1.
var versionText = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

func postgresVersion(initdb string) int {
	out, err := exec.Command(initdb, "--version").Output()
	if err != nil {
		return 0
	}
	return majorVersion(string(out))
}

func majorVersion(text string) int {
	found := versionText.FindStringSubmatch(text)
	if found == nil {
		return 0
	}
	version, _ := strconv.Atoi(found[1])
	return version
}

// isStub reports whether the file is a script that starts a snap that is not installed.
func isStub(path, snap string) bool {
	if _, err := os.Stat(snap); err == nil {
		return false
	}
	info, err := os.Stat(path)
	if err != nil || info.Size() > 64<<10 {
		return err != nil
	}
	text, err := os.ReadFile(path)
	return err != nil || strings.HasPrefix(string(text), "#!") && strings.Contains(string(text), snap)
}
