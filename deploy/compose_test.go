// Package deploy_test checks the Docker files without Docker. It loads docker-compose.yml
// with Compose's own library.
package deploy_test

import (
	"fmt"
	"maps"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"stevedore/internal/config"
)

// runFirst is the message of Compose without deploy/compose.env.
const runFirst = "run deploy/make-env.sh first"

// components maps the services that run stevedore to their configuration.
var components = map[string]config.Component{"setup": config.ComponentSetup, "worker": config.ComponentWorker, "api": config.ComponentAPI}

func read(t *testing.T, elements ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(elements...))
	require.NoError(t, err)
	return string(text)
}

// rows returns the lines of a table without comments.
func rows(t *testing.T, name string) []string {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(read(t, "testdata", name), "\n"), "\n")
	return slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, "#") })
}

// compose is a compose file loaded with secrets.
type compose struct {
	*types.Project
	tree    any // the file as maps and lists
	text    string
	secrets map[string]string
	errors  []string
}

// load interpolates with the given variables only, without the environment.
func load(t *testing.T, text string, variables map[string]string) (*compose, error) {
	t.Helper()
	root, err := filepath.Abs("..")
	require.NoError(t, err)
	project, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir: root, Environment: maps.Clone(variables), // the loader adds to it
		ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(root, "docker-compose.yml"), Content: []byte(text)}},
	})
	if err != nil {
		return nil, err
	}
	c := &compose{Project: project, text: text, secrets: variables}
	canonical, err := project.MarshalYAML()
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(canonical, &c.tree))
	return c, nil
}

func (c *compose) want(ok bool, format string, args ...any) {
	if !ok {
		c.errors = append(c.errors, fmt.Sprintf(format, args...))
	}
}

// value returns the value at a path such as services.api.restart.
func (c *compose) value(path string) string {
	node := c.tree
	for key := range strings.SplitSeq(path, ".") {
		switch at := node.(type) {
		case map[string]any:
			node = at[key]
		case []any:
			i, err := strconv.Atoi(key)
			if node = nil; err == nil && i < len(at) {
				node = at[i]
			}
		default:
			node = nil
		}
	}
	switch at := node.(type) {
	case nil:
		return "<none>"
	case map[string]any:
		return strings.Join(slices.Sorted(maps.Keys(at)), " ")
	case []any:
		return strings.Trim(fmt.Sprint(at), "[]")
	}
	return fmt.Sprint(node)
}

func (c *compose) config(t *testing.T, service string) config.Config {
	t.Helper()
	cfg, err := config.Load(config.Options{Environ: c.Services[service].Environment.ToMapping().Values()})
	require.NoError(t, err)
	return cfg
}

// check returns all errors of the file.
func (c *compose) check(t *testing.T) string {
	t.Helper()
	for _, row := range rows(t, "compose.expected") {
		for name := range components {
			left, right, _ := strings.Cut(strings.ReplaceAll(row, "$X", name), " = ")
			got, want := os.Expand(left, c.value), os.Expand(right, c.value)
			c.want(got == want, "%s is %q, want %q", left, got, want)
		}
	}
	for name, component := range components {
		err := c.config(t, name).Validate(component)
		c.want(err == nil, "%v", err)
	}
	grace := c.Services["worker"].StopGracePeriod
	c.want(grace != nil && time.Duration(*grace) >= c.config(t, "worker").Worker.StopTimeout+10*time.Second, "the worker's stop_grace_period is too short")
	published, mounted := map[string]bool{}, map[string][]string{}
	for name, s := range c.Services {
		c.checkService(t, name, s)
		for _, p := range s.Ports {
			c.want(p.HostIP == "127.0.0.1", "%s publishes port %s on %q", name, p.Published, p.HostIP)
			c.want(!published[p.Published], "port %s is published twice", p.Published)
			published[p.Published] = true
		}
		for _, v := range s.Volumes {
			mounted[v.Source] = append(mounted[v.Source], name)
		}
	}
	for volume := range c.Volumes { // only the keyset is shared
		n := len(mounted[volume])
		c.want(n == 1 || volume == "keys" && n == len(components), "volume %s is mounted by %v", volume, mounted[volume])
	}
	c.checkSecrets(t)
	return strings.Join(c.errors, "\n")
}

func hasHealthCheck(s types.ServiceConfig) bool {
	return s.HealthCheck != nil && !s.HealthCheck.Disable && len(s.HealthCheck.Test) > 1
}

// pinned reports whether the tag of an image contains a version.
func pinned(image string) bool {
	_, tag, _ := strings.Cut(path.Base(image), ":")
	return regexp.MustCompile(`\d+[.-]\d+`).MatchString(tag)
}

func (c *compose) checkService(t *testing.T, name string, s types.ServiceConfig) {
	t.Helper()
	warnings, health := c.config(t, name).Warnings(), hasHealthCheck(s)
	c.want(len(warnings) == 0, "%s: %v", name, warnings)
	c.want(health != (name == "setup" || name == "temporal-ui"), "%s has a health check: %t", name, health)
	c.want(name == "setup" || s.Restart == types.RestartPolicyUnlessStopped, "%s restarts %q", name, s.Restart)
	for other, d := range s.DependsOn {
		ready := d.Condition == types.ServiceConditionHealthy && hasHealthCheck(c.Services[other])
		ended := d.Condition == types.ServiceConditionCompletedSuccessfully && c.Services[other].Restart == types.RestartPolicyNo
		c.want(ready || ended, "%s depends on %s with the condition %s", name, other, d.Condition)
	}
	for _, v := range s.Volumes {
		info, err := os.Stat(v.Source)
		c.want(v.Type != types.VolumeTypeBind || err == nil && info.Mode().IsRegular(), "%s mounts %s, which is not a file", name, v.Source)
	}
	if s.Build == nil {
		c.want(pinned(s.Image), "the version of %s is not pinned", s.Image)
		return
	}
	_, err := os.Stat(filepath.Join(s.Build.Context, s.Build.Dockerfile))
	c.want(err == nil && strings.HasSuffix(s.Image, ":dev"), "%s is built as %s: %v", name, s.Image, err)
}

// checkSecrets requires that every password is a secret, that every secret is used, and
// that Compose refuses to start without one.
func (c *compose) checkSecrets(t *testing.T) {
	t.Helper()
	secret := regexp.MustCompile(`(PASSWORD|PASS|PWD|SECRET|SECRET_KEY|TOKEN)$`)
	used := map[string]bool{}
	for name, s := range c.Services {
		for variable, value := range s.Environment {
			password := *value
			u, err := url.Parse(password)
			inURL := err == nil && u.User != nil
			if inURL {
				password, _ = u.User.Password()
			}
			generated := slices.Contains(slices.Collect(maps.Values(c.secrets)), password)
			c.want(generated || !inURL && !secret.MatchString(variable), "%s of %s is not from compose.env", variable, name)
			used[password] = true
		}
	}
	for name, value := range c.secrets {
		c.want(used[value] && !strings.Contains(c.text, value), "%s is not used, or its value is in the file", name)
		without := maps.Clone(c.secrets)
		without[name] = "" // Compose treats empty and unset alike here
		_, err := load(t, c.text, without)
		c.want(err != nil && strings.Contains(err.Error(), runFirst), "without %s: %v", name, err)
	}
}

func TestComposeFile(t *testing.T) {
	t.Parallel()
	c, err := load(t, read(t, "..", "docker-compose.yml"), secrets(t))
	require.NoError(t, err)
	require.Empty(t, c.check(t))
}

// TestChecksDetectFaults breaks the file as testdata/compose.broken lists.
func TestChecksDetectFaults(t *testing.T) {
	t.Parallel()
	text, generated := read(t, "..", "docker-compose.yml"), secrets(t)
	for _, row := range rows(t, "compose.broken") {
		part := strings.Split(strings.ReplaceAll(row, `\n`, "\n"), " => ")
		require.Len(t, part, 3, row)
		require.Contains(t, text, part[0])
		c, err := load(t, strings.ReplaceAll(text, part[0], part[1]), generated)
		if err != nil { // detected by Compose
			require.ErrorContains(t, err, part[2])
			continue
		}
		require.Contains(t, c.check(t), part[2], row)
	}
}
