package deploy_test

import (
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDockerfiles(t *testing.T) {
	t.Parallel()
	from := regexp.MustCompile(`(?m)^FROM (\S+)`)
	dockerfile := strings.ReplaceAll(read(t, "Dockerfile"), "\\\n", "")
	images := append(from.FindAllStringSubmatch(dockerfile, -1), from.FindAllStringSubmatch(read(t, "sftp", "Dockerfile"), -1)...)
	require.Len(t, images, 3)
	for _, image := range images {
		require.True(t, pinned(image[1]), image[1])
	}
	module := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, "..", "go.mod"))
	for file, texts := range map[string][]string{
		dockerfile: {
			"FROM golang:" + module[1] + ".", "-bookworm AS build\n", "CGO_ENABLED=0 ", " -trimpath ", "-X main.version=", " ./cmd/stevedore\n",
			"\nUSER 10001:10001\n", "\nENTRYPOINT [\"/usr/local/bin/stevedore\"]\n",
			// A volume inherits its owner from the image.
			"mkdir -p /var/lib/stevedore/staging /var/lib/stevedore/keys ", "chown -R stevedore:stevedore /var/lib/stevedore ",
		},
		read(t, "sftp", "sshd_config"): {"Port 22\n"},
		read(t, "postgres", "init.sh"): {
			"CREATE ROLE stevedore ", "CREATE DATABASE stevedore ", "CREATE ROLE temporal ", "CREATE DATABASE temporal ", "CREATE DATABASE temporal_visibility ",
		},
	} {
		for _, text := range texts {
			require.Contains(t, file, text)
		}
	}
}

// TestBuilderSeesEveryPackage: .dockerignore excludes every folder that is not listed in
// it.
func TestBuilderSeesEveryPackage(t *testing.T) {
	t.Parallel()
	ignore := strings.Split(read(t, "..", ".dockerignore"), "\n")
	require.Contains(t, ignore, "*")
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{with .Module}}{{if .Main}}{{$.ImportPath}}{{end}}{{end}}", "./cmd/stevedore")
	cmd.Dir = ".."
	out, err := cmd.Output()
	require.NoError(t, err)
	packages := strings.Fields(string(out))
	require.True(t, slices.Contains(packages, "stevedore/cmd/stevedore"))
	for _, name := range packages {
		require.Contains(t, ignore, "!"+strings.Split(name, "/")[1], name)
	}
}
