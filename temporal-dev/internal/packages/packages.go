// Package packages finds the system programs the stack needs and installs
// those that are missing.
package packages

import (
	"fmt"
	"io"
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

// oldestPostgres is the first version of PostgreSQL that stevedore supports.
const oldestPostgres = 15

// part is a program, where it may be, and the package that holds it.
type part struct {
	name string
	debs []string
	// globs are tried first, then names in PATH.
	globs, names []string
	// choose picks one of what was found, or none and says why. The default is
	// the first.
	choose func(m machine, found []string) (path, why string)
	set    func(p *Programs, path string)
	// tests says that only tests need it.
	tests bool
	// snap is how Ubuntu has it, which has no package for it.
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
		// The program of this name in PATH often is a wrapper that changes users.
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
		// Lets a test's own sshd know made-up users with passwords, so that no
		// test touches the machine's accounts.
		name: "nss_wrapper", debs: []string{"libnss-wrapper"}, tests: true,
		globs: []string{"/usr/lib/*/libnss_wrapper.so*", "/usr/lib64/libnss_wrapper.so*", "/usr/lib/libnss_wrapper.so*"},
	},
	{
		// The example consumer in Python needs it.
		name: "pika", debs: []string{"python3-pika"}, tests: true,
		globs: []string{"/usr/lib/python3*/dist-packages/pika/__init__.py", "/usr/lib/python3*/site-packages/pika/__init__.py"},
	},
	{
		// Opens the console's pages as people do.
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

// find returns the programs of the machine, those that only tests need with
// tests set, and what it lacks.
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

// noStub passes over Ubuntu's chromium-browser, which only says that one should
// install the snap.
func noStub(m machine, found []string) (path, why string) {
	for _, path := range found {
		if !m.stub(path) {
			return path, ""
		}
	}
	return "", found[0] + " only asks for a snap"
}

// Ensure returns all programs, those that only tests need with tests set, after
// installing what is missing where that is possible. Otherwise the error names
// the exact command.
func Ensure(out io.Writer, tests bool) (Programs, error) {
	m := thisMachine()
	programs, lacks := find(m, tests)
	if len(lacks) == 0 {
		return programs, nil
	}
	if m.look("apt-get") == "" {
		return programs, fmt.Errorf("missing: %s. Install with: %s", list(lacks), elsewhere(m))
	}
	if debs := debs(m, lacks); len(debs) > 0 {
		fmt.Fprintf(out, "installing %s (about a minute, once)\n", strings.Join(debs, " "))
		if err := install(out, m, debs); err != nil {
			return programs, fmt.Errorf("install by hand: sudo apt-get install -y --no-install-recommends %s: %w", strings.Join(debs, " "), err)
		}
	}
	if programs, lacks = find(m, tests); len(lacks) > 0 {
		return programs, fmt.Errorf("still missing: %s. %s", list(lacks), byHand(m, lacks))
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

// debs returns the packages that hold what is missing.
func debs(m machine, lacks []missing) (debs []string) {
	for _, l := range lacks {
		if l.snap == "" || m.distribution != "ubuntu" {
			debs = append(debs, l.debs...)
		}
	}
	return debs
}

// byHand says where to get what the system's packages do not have.
func byHand(m machine, lacks []missing) string {
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

// elsewhere names the command for systems whose packages we do not install.
func elsewhere(m machine) string {
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

// installScript installs the packages without starting their services, which
// would take the usual ports from the stack. Where there is a policy for that
// already it stays.
const installScript = `
policy=/usr/sbin/policy-rc.d
if [ -d /run/systemd/system ] && [ ! -e $policy ]; then
	trap 'rm -f $policy' EXIT
	trap 'exit 1' HUP INT TERM
	printf '#!/bin/sh\n# Of an installation for a dev stack; remove this file when none runs.\nexit 101\n' >$policy
	chmod 755 $policy
fi
apt-get install -y -q --no-install-recommends "$@"`

// install installs the packages. Stale lists may do, so that they cannot be
// updated is no more than a warning.
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
		fmt.Fprintln(out, "their own services were not started, but will be at the next boot unless you `systemctl disable` them")
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
