// Package packages finds the system programs the stack needs and installs
// those that are missing.
package packages

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Programs are the system programs by absolute path.
type Programs struct {
	// PostgresBin is the folder with initdb, postgres, createdb and pg_isready.
	PostgresBin string
	RabbitMQ    string
	Epmd        string
	SSHD        string
	SFTPServer  string
	SSHKeygen   string
}

// part is a program, where it may be, and the package that holds it.
type part struct {
	name  string
	debs  []string
	globs []string
	set   func(p *Programs, path string)
	// tests says that only tests need it.
	tests bool
}

var parts = []part{
	{
		name: "PostgreSQL 15 or newer", debs: []string{"postgresql"},
		globs: []string{"/usr/lib/postgresql/*/bin/initdb", "/usr/pgsql-*/bin/initdb", "/opt/homebrew/opt/postgresql@*/bin/initdb"},
		set:   func(p *Programs, path string) { p.PostgresBin = filepath.Dir(path) },
	},
	{
		name: "RabbitMQ", debs: []string{"rabbitmq-server"},
		globs: []string{"/usr/lib/rabbitmq/bin/rabbitmq-server", "/opt/homebrew/sbin/rabbitmq-server"},
		set:   func(p *Programs, path string) { p.RabbitMQ = path },
	},
	{
		name: "Erlang's epmd", debs: []string{"erlang-base"},
		globs: []string{"/usr/bin/epmd", "/usr/lib/erlang/bin/epmd", "/opt/homebrew/bin/epmd"},
		set:   func(p *Programs, path string) { p.Epmd = path },
	},
	{
		name: "the OpenSSH server", debs: []string{"openssh-server"}, globs: []string{"/usr/sbin/sshd"},
		set: func(p *Programs, path string) { p.SSHD = path },
	},
	{
		name: "ssh-keygen", debs: []string{"openssh-client"}, globs: []string{"/usr/bin/ssh-keygen"},
		set: func(p *Programs, path string) { p.SSHKeygen = path },
	},
	{
		// Lets a test's own sshd know made-up users with passwords, so that no
		// test touches the machine's accounts.
		name: "nss_wrapper", debs: []string{"libnss-wrapper"}, tests: true,
		globs: []string{"/usr/lib/*/libnss_wrapper.so*", "/usr/lib64/libnss_wrapper.so*", "/usr/lib/libnss_wrapper.so*"},
	},
	{
		// Opens the console's pages as people do.
		name: "Chromium", debs: []string{"chromium", "fonts-dejavu-core"}, tests: true,
		globs: []string{
			"/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome",
			"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome", "/Applications/Chromium.app/Contents/MacOS/Chromium",
		},
	},
}

// Ensure returns all programs, those that only tests need with tests set, after
// installing what is missing where that is possible. Otherwise the error names
// the exact command.
func Ensure(out io.Writer, tests bool) (Programs, error) {
	programs, missing, debs := find(tests)
	if len(missing) == 0 {
		return programs, nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return programs, fmt.Errorf("missing: %s. Install with: %s", strings.Join(missing, ", "), elsewhere())
	}
	fmt.Fprintf(out, "installing %s (about a minute, once)\n", strings.Join(debs, " "))
	if err := install(out, debs); err != nil {
		return programs, fmt.Errorf("install by hand: sudo apt-get install -y --no-install-recommends %s: %w", strings.Join(debs, " "), err)
	}
	if programs, missing, _ = find(tests); len(missing) > 0 {
		return programs, fmt.Errorf("still missing after the installation: %s", strings.Join(missing, ", "))
	}
	return programs, nil
}

func find(tests bool) (programs Programs, missing, debs []string) {
	for _, part := range parts {
		if part.tests && !tests {
			continue
		}
		if path := newest(part.globs); path != "" {
			if part.set != nil {
				part.set(&programs, path)
			}
			continue
		}
		missing = append(missing, part.name)
		debs = append(debs, part.debs...)
	}
	return programs, missing, debs
}

// newest returns the last match, which is the highest version.
func newest(globs []string) string {
	for _, glob := range globs {
		if found, _ := filepath.Glob(glob); len(found) > 0 {
			slices.Sort(found)
			return found[len(found)-1]
		}
	}
	return ""
}

func install(out io.Writer, debs []string) error {
	for _, args := range [][]string{
		{"apt-get", "update", "-q"},
		append([]string{"apt-get", "install", "-y", "-q", "--no-install-recommends"}, debs...),
	} {
		if os.Geteuid() != 0 {
			args = append([]string{"sudo", "--preserve-env=DEBIAN_FRONTEND"}, args...)
		}
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if text, err := cmd.CombinedOutput(); err != nil {
			_, _ = out.Write(text)
			return fmt.Errorf("%s: %w", strings.Join(args, " "), err)
		}
	}
	return nil
}

// elsewhere names the command for systems whose packages we do not install.
func elsewhere() string {
	for tool, command := range map[string]string{
		"dnf":    "sudo dnf install postgresql-server rabbitmq-server openssh-server nss_wrapper chromium",
		"pacman": "sudo pacman -S postgresql rabbitmq openssh nss_wrapper chromium",
		"brew":   "brew install postgresql@15 rabbitmq && brew install --cask chromium",
	} {
		if _, err := exec.LookPath(tool); err == nil {
			return command
		}
	}
	return "your system's package manager: PostgreSQL 15+, RabbitMQ 3.10+, OpenSSH server; for tests also nss_wrapper and Chromium"
}
