// Package packages finds the system programs that the stack needs and installs missing
// ones.
package packages

import (
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Programs holds the absolute paths of the system programs.
type Programs struct {
	// PostgresBin is the folder with initdb, postgres, createdb and pg_isready.
	PostgresBin string
	RabbitMQ    string
	Epmd        string
	SSHD        string
	SFTPServer  string
	SSHKeygen   string
}

// oldestPostgres is the first version of PostgreSQL that stevedore supports.
const oldestPostgres = 15

// part is a program with its possible locations and its package.
type part struct {
	name string
	debs []string
	// globs are tried first, then names in PATH.
	globs, names []string
	// choose chooses one of the found paths, or returns "" and the reason. Default: the
	// first.
	choose func(m machine, found []string) (path, why string)
	set    func(p *Programs, path string)
	// tests marks programs that only tests need.
	tests bool
	// snap is the advice for Ubuntu, if it has no package.
	snap string
}

var parts = []part{
	{
		name: fmt.Sprintf("PostgreSQL %d or newer", oldestPostgres), debs: []string{"postgresql"},
		globs: []string{
			"/usr/lib/postgresql/*/bin/initdb", "/usr/pgsql-*/bin/initdb",
			"/opt/homebrew/opt/postgresql@*/bin/initdb", "/usr/local/opt/postgresql@*/bin/initdb",
		},
		names:  []string{"initdb"},
		choose: newestPostgres,
		set:    func(p *Programs, path string) { p.PostgresBin = filepath.Dir(path) },
	},
	{
		// The programs are not taken from PATH, where they are often wrappers that change
		// the user.
		name: "RabbitMQ", debs: []string{"rabbitmq-server"},
		globs: []string{"/usr/lib/rabbitmq/bin/rabbitmq-server", "/opt/homebrew/sbin/rabbitmq-server", "/usr/local/sbin/rabbitmq-server"},
		set:   func(p *Programs, path string) { p.RabbitMQ = path },
	},
	{
		name: "Erlang's epmd", debs: []string{"erlang-base"},
		globs: []string{"/usr/bin/epmd", "/usr/lib/erlang/bin/epmd"}, names: []string{"epmd"},
		set: func(p *Programs, path string) { p.Epmd = path },
	},
	{
		name: "the OpenSSH server", debs: []string{"openssh-server"}, globs: []string{"/usr/sbin/sshd"}, names: []string{"sshd"},
		set: func(p *Programs, path string) { p.SSHD = path },
	},
	{
		name: "ssh-keygen", debs: []string{"openssh-client"}, names: []string{"ssh-keygen"},
		set: func(p *Programs, path string) { p.SSHKeygen = path },
	},
	{
		// Provides virtual users with passwords to a test's sshd, so that no test changes
		// the machine's accounts.
		name: "nss_wrapper", debs: []string{"libnss-wrapper"}, tests: true,
		globs: []string{"/usr/lib/*/libnss_wrapper.so*", "/usr/lib64/libnss_wrapper.so*", "/usr/lib/libnss_wrapper.so*"},
	},
	{
		// For the example consumer in Python.
		name: "pika", debs: []string{"python3-pika"}, tests: true,
		globs: []string{"/usr/lib/python3*/dist-packages/pika/__init__.py", "/usr/lib/python3*/site-packages/pika/__init__.py"},
	},
	{
		// For tests of the console.
		name: "Chromium", debs: []string{"chromium", "fonts-dejavu-core"}, tests: true,
		globs: []string{"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome", "/Applications/Chromium.app/Contents/MacOS/Chromium"},
		names: []string{"chromium", "google-chrome", "chromium-browser"}, choose: noStub,
		snap: "Google Chrome from https://www.google.com/chrome (or: sudo snap install chromium)",
	},
}

// missing is a part that was not found.
type missing struct {
	part
	why string
}

func (m missing) String() string {
	if m.why == "" {
		return m.name
	}
	return m.name + " (" + m.why + ")"
}

// find returns the programs of the machine and the missing ones; with tests, including
// those that only tests need.
func find(m machine, tests bool) (programs Programs, lacks []missing) {
	for _, p := range parts {
		if p.tests && !tests {
			continue
		}
		path, why := p.find(m)
		switch {
		case path == "":
			lacks = append(lacks, missing{p, why})
		case p.set != nil:
			p.set(&programs, path)
		}
	}
	return programs, lacks
}

func (p part) find(m machine) (path, why string) {
	var found []string
	for _, glob := range p.globs {
		found = append(found, m.glob(glob)...)
	}
	for _, name := range p.names {
		if path := m.look(name); path != "" {
			found = append(found, path)
		}
	}
	switch {
	case len(found) == 0:
		return "", ""
	case p.choose != nil:
		return p.choose(m, found)
	}
	return found[0], ""
}

func newestPostgres(m machine, found []string) (path, why string) {
	newest := 0
	for _, initdb := range found {
		if version := m.postgres(initdb); version > newest {
			path, newest = initdb, version
		}
	}
	if newest < oldestPostgres {
		return "", fmt.Sprintf("%s is version %d", found[0], newest)
	}
	return path, ""
}

// noStub skips Ubuntu's chromium-browser, which only asks to install the snap.
func noStub(m machine, found []string) (path, why string) {
	for _, path := range found {
		if !m.stub(path) {
			return path, ""
		}
	}
	return "", found[0] + " only asks for a snap"
}

// Ensure returns all programs; with tests, including those that only tests need. It
// installs missing ones where possible; otherwise the error contains the exact command.
func Ensure(out io.Writer, tests bool) (Programs, error) {
	m := thisMachine()
	programs, lacks := find(m, tests)
	if len(lacks) == 0 {
		return programs, nil
	}
	if m.look("apt-get") == "" {
		return programs, fmt.Errorf("missing: %s. Install with: %s", list(lacks), otherCommand(m))
	}
	if debs := debs(m, lacks); len(debs) > 0 {
		fmt.Fprintf(out, "installing %s (about a minute, once)\n", strings.Join(debs, " "))
		if err := install(out, m, debs); err != nil {
			return programs, fmt.Errorf("install manually: sudo apt-get install -y --no-install-recommends %s: %w", strings.Join(debs, " "), err)
		}
	}
	if programs, lacks = find(m, tests); len(lacks) > 0 {
		return programs, fmt.Errorf("still missing: %s. %s", list(lacks), advice(m, lacks))
	}
	return programs, nil
}

func list(lacks []missing) string {
	var names []string
	for _, l := range lacks {
		names = append(names, l.String())
	}
	return strings.Join(names, ", ")
}

// debs returns the packages of the missing programs.
func debs(m machine, lacks []missing) (debs []string) {
	for _, l := range lacks {
		if l.snap == "" || m.distribution != "ubuntu" {
			debs = append(debs, l.debs...)
		}
	}
	return debs
}

// advice returns instructions to get programs that the system's packages do not contain.
func advice(m machine, lacks []missing) string {
	var advice []string
	for _, l := range lacks {
		switch {
		case slices.Contains(l.debs, "postgresql"):
			advice = append(advice, "A newer PostgreSQL: https://www.postgresql.org/download/linux/"+m.distribution+"/")
		case l.snap != "" && m.distribution == "ubuntu":
			advice = append(advice, "Install "+l.snap)
		}
	}
	return strings.Join(advice, ". ")
}

// otherCommand returns the command for systems whose packages are not installed
// automatically.
func otherCommand(m machine) string {
	for _, tool := range [][2]string{
		{"dnf", "sudo dnf install postgresql-server rabbitmq-server openssh-server nss_wrapper python3-pika chromium"},
		{"pacman", "sudo pacman -S postgresql rabbitmq openssh nss_wrapper python-pika chromium"},
		{"brew", "brew install postgresql@15 rabbitmq && brew install --cask chromium && pip3 install pika"},
	} {
		if m.look(tool[0]) != "" {
			return tool[1]
		}
	}
	return "your system's package manager: PostgreSQL 15+, RabbitMQ 3.10+, OpenSSH server; for tests also nss_wrapper, pika (Python) and Chromium"
}

// installScript installs the packages without starting their services, which would take
// the well-known ports. It keeps an existing policy-rc.d.
const installScript = `
policy=/usr/sbin/policy-rc.d
if [ -d /run/systemd/system ] && [ ! -e $policy ]; then
	trap 'rm -f $policy' EXIT
	trap 'exit 1' HUP INT TERM
	printf '#!/bin/sh\n# Created by the installation of a dev stack; remove this file when none runs.\nexit 101\n' >$policy
	chmod 755 $policy
fi
apt-get install -y -q --no-install-recommends "$@"`

// install installs the packages. A failed update of the package lists is only a warning,
// because stale lists may suffice.
func install(out io.Writer, m machine, debs []string) error {
	if text, err := asRoot("apt-get", "update", "-q"); err != nil {
		fmt.Fprintf(out, "warning: apt-get update: %v\n%s", err, text)
	}
	text, err := asRoot("sh", append([]string{"-c", installScript, "sh"}, debs...)...)
	if err != nil {
		_, _ = out.Write(text)
		return fmt.Errorf("apt-get install: %w", err)
	}
	if m.systemd {
		fmt.Fprintln(out, "their services were not started, but will start at the next boot; `systemctl disable` prevents that")
	}
	return nil
}

// asRoot runs a command as root and returns its output.
func asRoot(name string, args ...string) ([]byte, error) {
	argv := append([]string{"env", "DEBIAN_FRONTEND=noninteractive", name}, args...)
	if !isRoot() {
		argv = append([]string{"sudo"}, argv...)
	}
	return exec.Command(argv[0], argv[1:]...).CombinedOutput()
}
