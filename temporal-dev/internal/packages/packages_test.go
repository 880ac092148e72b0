package packages

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// debian is a machine with all programs. The value of a file is the version of an initdb,
// or stub.
func debian() map[string]string {
	return map[string]string{
		"/usr/lib/postgresql/15/bin/initdb":               "initdb (PostgreSQL) 15.8 (Debian 15.8-0+deb12u1)",
		"/usr/lib/rabbitmq/bin/rabbitmq-server":           "",
		"/usr/bin/epmd":                                   "",
		"/usr/sbin/sshd":                                  "",
		"/usr/bin/ssh-keygen":                             "",
		"/usr/lib/x86_64-linux-gnu/libnss_wrapper.so.0.3": "",
		"/usr/lib/python3/dist-packages/pika/__init__.py": "",
		"/usr/bin/chromium":                               "",
	}
}

// made returns a machine with the files; those in bin and sbin are in PATH.
func made(distribution string, files map[string]string) machine {
	return machine{
		distribution: distribution,
		glob: func(pattern string) (found []string) {
			for file := range files {
				if ok, _ := filepath.Match(pattern, file); ok {
					found = append(found, file)
				}
			}
			return found
		},
		look: func(name string) string {
			for _, dir := range []string{"/usr/local/bin/", "/usr/bin/", "/usr/sbin/"} {
				if _, ok := files[dir+name]; ok {
					return dir + name
				}
			}
			return ""
		},
		postgres: func(initdb string) int { return majorVersion(files[initdb]) },
		stub:     func(path string) bool { return files[path] == "stub" },
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	without := func(names ...string) func(map[string]string) {
		return func(files map[string]string) {
			for _, name := range names {
				delete(files, name)
			}
		}
	}
	add := func(name, text string) func(map[string]string) {
		return func(files map[string]string) { files[name] = text }
	}
	initdb := "/usr/lib/postgresql/15/bin/initdb"
	for name, c := range map[string]struct {
		distribution string
		changes      []func(map[string]string)
		lacks, debs  string
		postgres     string // folder
	}{
		"all there":              {"debian", nil, "", "", "/usr/lib/postgresql/15/bin"},
		"the highest version":    {"debian", []func(map[string]string){add("/usr/lib/postgresql/9.6/bin/initdb", "initdb (PostgreSQL) 9.6.24"), add("/usr/lib/postgresql/16/bin/initdb", "initdb (PostgreSQL) 16beta1")}, "", "", "/usr/lib/postgresql/16/bin"},
		"a version that is old":  {"debian", []func(map[string]string){without(initdb), add("/usr/lib/postgresql/14/bin/initdb", "initdb (PostgreSQL) 14.2")}, "PostgreSQL 15 or newer (/usr/lib/postgresql/14/bin/initdb is version 14)", "postgresql", ""},
		"an unknown version":     {"debian", []func(map[string]string){add(initdb, "broken")}, "PostgreSQL 15 or newer (" + initdb + " is version 0)", "postgresql", ""},
		"Fedora and Arch":        {"fedora", []func(map[string]string){without(initdb), add("/usr/bin/initdb", "initdb (PostgreSQL) 16.4")}, "", "", "/usr/bin"},
		"RHEL's own packages":    {"rhel", []func(map[string]string){without(initdb), add("/usr/bin/initdb", "initdb (PostgreSQL) 13.4"), add("/usr/pgsql-17/bin/initdb", "initdb (PostgreSQL) 17.1")}, "", "", "/usr/pgsql-17/bin"},
		"Homebrew":               {"", []func(map[string]string){without(initdb), add("/opt/homebrew/opt/postgresql@15/bin/initdb", "initdb (PostgreSQL) 15.8 (Homebrew)")}, "", "", "/opt/homebrew/opt/postgresql@15/bin"},
		"some missing":           {"debian", []func(map[string]string){without("/usr/bin/epmd", "/usr/sbin/sshd")}, "Erlang's epmd, the OpenSSH server", "erlang-base openssh-server", "/usr/lib/postgresql/15/bin"},
		"elsewhere in PATH":      {"arch", []func(map[string]string){without("/usr/sbin/sshd", "/usr/bin/epmd"), add("/usr/bin/sshd", ""), add("/usr/local/bin/epmd", "")}, "", "", "/usr/lib/postgresql/15/bin"},
		"no Chromium":            {"debian", []func(map[string]string){without("/usr/bin/chromium")}, "Chromium", "chromium fonts-dejavu-core", "/usr/lib/postgresql/15/bin"},
		"no Chromium on Ubuntu":  {"ubuntu", []func(map[string]string){without("/usr/bin/chromium")}, "Chromium", "", "/usr/lib/postgresql/15/bin"},
		"Ubuntu's stub":          {"ubuntu", []func(map[string]string){without("/usr/bin/chromium"), add("/usr/bin/chromium-browser", "stub")}, "Chromium (/usr/bin/chromium-browser only asks for a snap)", "", "/usr/lib/postgresql/15/bin"},
		"Chrome beside the stub": {"ubuntu", []func(map[string]string){without("/usr/bin/chromium"), add("/usr/bin/chromium-browser", "stub"), add("/usr/local/bin/google-chrome", "")}, "", "", "/usr/lib/postgresql/15/bin"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := debian()
			for _, change := range c.changes {
				change(files)
			}
			m := made(c.distribution, files)
			programs, lacks := find(m, true)
			if got := list(lacks); got != c.lacks {
				t.Errorf("missing: %q, want %q", got, c.lacks)
			}
			if got := strings.Join(debs(m, lacks), " "); got != c.debs {
				t.Errorf("to install: %q, want %q", got, c.debs)
			}
			if programs.PostgresBin != c.postgres {
				t.Errorf("PostgreSQL in %q, want %q", programs.PostgresBin, c.postgres)
			}
		})
	}
}

func TestProgramsForTestsAreOptional(t *testing.T) {
	t.Parallel()
	files := debian()
	delete(files, "/usr/bin/chromium")
	if programs, lacks := find(made("debian", files), false); len(lacks) > 0 || programs.SSHKeygen != "/usr/bin/ssh-keygen" {
		t.Errorf("missing: %v; found %+v", lacks, programs)
	}
}

func TestAdviceIsForTheSystem(t *testing.T) {
	t.Parallel()
	for tool, want := range map[string]string{"/usr/bin/dnf": "sudo dnf install", "/usr/bin/pacman": "sudo pacman", "/usr/bin/none": "your system's"} {
		if got := otherCommand(made("", map[string]string{tool: ""})); !strings.HasPrefix(got, want) {
			t.Errorf("with %s: %s", tool, got)
		}
	}
	m := made("ubuntu", nil)
	_, lacks := find(m, true)
	for _, want := range []string{"https://www.postgresql.org/download/linux/ubuntu/", "Google Chrome"} {
		if got := advice(m, lacks); !strings.Contains(got, want) {
			t.Errorf("no %s in %q", want, got)
		}
	}
}

func TestStubs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		return name
	}
	snap, stub := filepath.Join(dir, "snap"), in("stub", "#!/bin/sh\necho install it; exec "+filepath.Join(dir, "snap")+"\n")
	for name, c := range map[string]struct {
		path string
		want bool
	}{
		"a program":     {in("program", "\x7fELF"), false},
		"a wrapper":     {in("wrapper", "#!/bin/sh\nexec /usr/lib/chromium/chromium\n"), false},
		"the stub":      {stub, true},
		"what is not":   {filepath.Join(dir, "none"), true},
		"a big program": {in("big", "#!"+snap+strings.Repeat("x", 70<<10)), false},
	} {
		if got := isStub(c.path, snap); got != c.want {
			t.Errorf("%s: stub %v", name, got)
		}
	}
	in("snap", "the snap")
	if isStub(stub, snap) {
		t.Error("a stub whose snap is there")
	}
}

func TestDistribution(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "os-release")
	if err := os.WriteFile(name, []byte("PRETTY_NAME=\"X\"\nVERSION_ID=\"9\"\nID=\"rhel\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := distribution(name); got != "rhel" {
		t.Errorf("distribution %q", got)
	}
}
