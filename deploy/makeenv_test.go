package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/stretchr/testify/require"
)

func makeEnv(t *testing.T, target string) (output string, err error) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "bash", "make-env.sh", target).CombinedOutput()
	return string(out), err
}

func secrets(t *testing.T) map[string]string {
	t.Helper()
	target := filepath.Join(t.TempDir(), "compose.env")
	out, err := makeEnv(t, target)
	require.NoError(t, err, out)
	generated, err := dotenv.Read(target)
	require.NoError(t, err)
	return generated
}

func TestMakeEnv(t *testing.T) {
	t.Parallel()
	target := filepath.Join(t.TempDir(), "compose.env")
	out, err := makeEnv(t, target)
	require.NoError(t, err, out)
	info, err := os.Stat(target)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	entries, err := os.ReadDir(filepath.Dir(target))
	require.NoError(t, err)
	require.Len(t, entries, 1, "no temporary file is left")

	generated, err := dotenv.Read(target)
	require.NoError(t, err)
	other, seen := secrets(t), map[string]bool{}
	for name, value := range generated {
		require.Regexp(t, `^[0-9a-f]{48}$`, value, name)
		require.NotContains(t, out, value, "secrets are not printed")
		require.False(t, seen[value] || other[name] == value, name)
		seen[value] = true
	}

	before := read(t, target)
	out, err = makeEnv(t, target)
	require.NoError(t, err, "a second run succeeds, so that it can precede every docker compose up")
	require.Contains(t, out, "is kept")
	require.Equal(t, before, read(t, target))
	require.NoError(t, os.WriteFile(target, []byte(strings.Replace(before, "\nAPI_TOKEN=", "\nAPI_TOKENN=", 1)), 0o600))
	out, err = makeEnv(t, target)
	require.Error(t, err)
	require.Contains(t, out, "lacks API_TOKEN:")
}

// TestExampleDocumentsEveryVariable compares compose.env.example with the variables and
// defaults of docker-compose.yml.
func TestExampleDocumentsEveryVariable(t *testing.T) {
	t.Parallel()
	documented, comment := map[string]string{}, ""
	for line := range strings.Lines(read(t, "compose.env.example")) {
		line = strings.TrimSpace(strings.TrimPrefix(line, "#"))
		name, value, _ := strings.Cut(line, "=")
		switch {
		case name != line && regexp.MustCompile(`^[A-Z_]+$`).MatchString(name):
			require.NotEmpty(t, comment, "%s is not documented", name)
			documented[name] = value
		case line == "":
			comment = ""
		default:
			comment += line
		}
	}
	used := map[string]string{}
	for _, found := range regexp.MustCompile(`\$\{([A-Z_]+):([-?])([^}]*)\}`).FindAllStringSubmatch(read(t, "..", "docker-compose.yml"), -1) {
		name, value := found[1], found[3]
		if found[2] == "?" {
			require.Equal(t, runFirst, value, name)
			value = ""
		}
		if before, again := used[name]; again {
			require.Equal(t, before, value, "%s has two defaults", name)
		}
		used[name] = value
	}
	require.Equal(t, documented, used)
}
