package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/contrib/envconfig"
)

// Config implements the look-up of Temporal's envconfig.
var _ envconfig.EnvLookup = Config{}

func load(t *testing.T, opts Options) Config {
	t.Helper()
	c, err := Load(opts)
	require.NoError(t, err)
	return c
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "stevedore.env")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func variable(t *testing.T, c Config, name string) Variable {
	t.Helper()
	all := c.Effective()
	i := slices.IndexFunc(all, func(v Variable) bool { return v.Name == name })
	require.GreaterOrEqual(t, i, 0, name)
	return all[i]
}

// complete returns an environment in which every component starts.
func complete() []string {
	return []string{
		"STEVEDORE_DATABASE_URL=postgres://u:canary-1@db:5432/stevedore?sslmode=disable",
		"STEVEDORE_S3_ENDPOINT=s3.example:9000", "STEVEDORE_S3_ACCESS_KEY=access", "STEVEDORE_S3_SECRET_KEY=canary-2",
		"STEVEDORE_AMQP_URL=amqp://u:canary-3@mq:5672/", "STEVEDORE_TOKEN=canary-4-with-as-many-characters-as-there-must-be",
		"STEVEDORE_KEYSET_FILE=/etc/stevedore/keyset.json",
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	c := load(t, Options{})
	require.Equal(t, "127.0.0.1:9000", c.API.Addr)
	require.Equal(t, int64(1<<30), c.Staging.ReserveBytes)
	require.Equal(t, Scan{Interval: time.Minute, Settle: 10 * time.Second}, c.Scan)
	require.Equal(t, Worker{MaxDownloads: 8, MaxUploads: 4, StopTimeout: 40 * time.Second, HostTimeout: 5 * time.Minute}, c.Worker)
	require.Equal(t, Log{Level: slog.LevelInfo, Format: "text"}, c.Log)
	require.Equal(t, "file_imports", c.AMQP.Queue)
	require.Equal(t, "file_imports", c.AMQP.RoutingKey)
	require.True(t, c.S3.UseTLS)
	require.Empty(t, c.SFTP.AllowNetworks)
}

func TestMinimalConfiguration(t *testing.T) {
	t.Parallel()
	c := load(t, Options{Environ: complete()})
	for _, component := range []Component{ComponentWorker, ComponentAPI, ComponentSetup, ComponentMigrate, ComponentCLI, ComponentKeys, ComponentBreakGlass} {
		require.NoError(t, c.Validate(component), component)
	}
	require.Empty(t, c.Warnings())
}

func TestPrecedence(t *testing.T) {
	t.Parallel()
	const name, flag = "STEVEDORE_S3_BUCKET", "s3-bucket"
	path := writeFile(t, name+"=from-file\n")
	inEnv := []string{name + "=from-env"}
	for want, opts := range map[string]Options{
		"stevedore/default": {},
		"from-file/file":    {File: path},
		"from-env/env":      {File: path, Environ: inEnv},
		"from-flag/flag":    {File: path, Environ: inEnv, Flags: map[string]string{flag: "from-flag"}},
	} {
		c := load(t, opts)
		s := variable(t, c, name)
		require.Equal(t, want, c.S3.Bucket+"/"+s.Source)
		require.Equal(t, c.S3.Bucket, s.Value)
	}
	c := load(t, Options{File: path, Environ: []string{name + "="}})
	require.Equal(t, "from-file", c.S3.Bucket, "an empty variable counts as not set")
	c = load(t, Options{Environ: []string{configFile + "=" + path}})
	require.Equal(t, "from-file", c.S3.Bucket)
	c = load(t, Options{File: path, Environ: []string{configFile + "=/not/there"}})
	require.Equal(t, "from-file", c.S3.Bucket, "the flag takes precedence over the environment")
}

func TestFile(t *testing.T) {
	t.Parallel()
	path := writeFile(t, strings.Join([]string{
		"# a comment", "", "export STEVEDORE_S3_REGION = eu ", `STEVEDORE_S3_SECRET_KEY='pa$word #"1'`,
		"STEVEDORE_TOKEN=a=$b", `STEVEDORE_S3_BUCKET="b"`, "TEMPORAL_ADDRESS=temporal:7233",
	}, "\r\n"))
	c := load(t, Options{File: path, Environ: []string{"TEMPORAL_NAMESPACE=n"}})
	require.Equal(t, "eu", c.S3.Region)
	require.Equal(t, `pa$word #"1`, c.S3.SecretKey.Reveal())
	require.Equal(t, "a=$b", c.API.Token.Reveal())
	require.Equal(t, "b", c.S3.Bucket)

	profile, err := envconfig.LoadClientConfigProfile(envconfig.LoadClientConfigProfileOptions{EnvLookup: c, DisableFile: true})
	require.NoError(t, err)
	require.Equal(t, "temporal:7233", profile.Address)
	require.Equal(t, "n", profile.Namespace)

	_, err = Load(Options{File: writeFile(t, "A=1\ncanary\n")})
	require.ErrorContains(t, err, "line 2 is not KEY=value")
	require.NotContains(t, err.Error(), "canary")
	_, err = Load(Options{File: "/not/there"})
	require.ErrorContains(t, err, "configuration file")
}

func TestFlags(t *testing.T) {
	t.Parallel()
	_, err := Load(Options{Flags: map[string]string{"s3-buket": "x"}})
	require.ErrorContains(t, err, "--s3-buket")
	for _, secret := range []string{"s3-secret-key", "token", "database-url", "amqp-url"} {
		_, err := Load(Options{Flags: map[string]string{secret: "x"}})
		require.Error(t, err, "%s would be visible in the process list", secret)
	}
	c := load(t, Options{Flags: map[string]string{"api-url": "https://stevedore.example", "settle": "3s"}})
	require.Equal(t, URL("https://stevedore.example"), c.Client.URL)
	require.Equal(t, 3*time.Second, c.Scan.Settle)
}

func TestValidateReportsAllProblems(t *testing.T) {
	t.Parallel()
	c := load(t, Options{Environ: []string{
		"STEVEDORE_DATABASE_URL=mysql://u:canary@db/x",
		"STEVEDORE_AMQP_URL=amqp://u:can%zzary@mq",
		"STEVEDORE_S3_ENDPOINT=http://s3:9000",
		"STEVEDORE_S3_USE_TLS=maybe",
		"STEVEDORE_API_ADDR=9000",
		"STEVEDORE_STAGING_RESERVE_BYTES=1GB",
		"STEVEDORE_SCAN_INTERVAL=10",
		"STEVEDORE_SETTLE=-1s",
		"STEVEDORE_SFTP_ALLOW_NETWORKS=10.0.0.0/8,localhost",
		"STEVEDORE_WORKER_MAX_DOWNLOADS=0",
		"STEVEDORE_LOG_LEVEL=loud",
		"STEVEDORE_LOG_FORMAT=xml",
	}})
	err := c.Validate(ComponentWorker)
	var all *Error
	require.ErrorAs(t, err, &all)
	var names []string
	for _, p := range all.Problems {
		names = append(names, strings.TrimPrefix(p.Variable, prefix))
		require.Contains(t, err.Error(), p.Variable+" "+p.Message)
	}
	require.ElementsMatch(t, []string{
		"DATABASE_URL", "AMQP_URL", "S3_ENDPOINT", "S3_ACCESS_KEY", "S3_SECRET_KEY", "S3_USE_TLS", "API_ADDR",
		"STAGING_RESERVE_BYTES", "SCAN_INTERVAL", "SETTLE", "SFTP_ALLOW_NETWORKS", "WORKER_MAX_DOWNLOADS",
		"LOG_LEVEL", "LOG_FORMAT", "KEYSET_FILE",
	}, names)
	require.Contains(t, err.Error(), `STEVEDORE_SCAN_INTERVAL "10" is not a duration such as 10s or 5m`)
	require.Contains(t, err.Error(), `STEVEDORE_DATABASE_URL is "mysql://u:***@db/x": use postgres:// or postgresql://host...`)
	require.NotContains(t, err.Error(), "can%zzary")
	require.NotContains(t, err.Error(), "canary")
}

func TestRequiredDependsOnTheComponent(t *testing.T) {
	t.Parallel()
	for component, want := range map[Component]int{
		ComponentWorker: 6, ComponentAPI: 3, ComponentSetup: 6, ComponentMigrate: 1, ComponentBreakGlass: 2, ComponentCLI: 1,
	} {
		var all *Error
		require.ErrorAs(t, load(t, Options{}).Validate(component), &all)
		require.Len(t, all.Problems, want, component)
	}
}

func TestLists(t *testing.T) {
	t.Parallel()
	c := load(t, Options{Environ: []string{"STEVEDORE_SFTP_ALLOW_NETWORKS=127.0.0.0/8,fd00::/8", "STEVEDORE_LOG_LEVEL=debug"}})
	require.Equal(t, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}, c.SFTP.AllowNetworks)
	require.Equal(t, slog.LevelDebug, c.Log.Level)
}

func TestSecretsAreNeverPrinted(t *testing.T) {
	t.Parallel()
	c := load(t, Options{Environ: append(complete(), "STEVEDORE_TOKENN=canary-5")})
	require.Equal(t, "canary-2", c.S3.SecretKey.Reveal(), "the configuration contains the secret that must not be printed")
	var out bytes.Buffer
	for _, v := range []any{c, &c, c.S3, &c.S3, c.Database, c.AMQP, c.API, c.S3.SecretKey, c.Database.URL, &c.Database.URL} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			_, _ = fmt.Fprintf(&out, verb+"\n", v)
		}
		text, err := json.Marshal(v)
		require.NoError(t, err)
		out.Write(text)
		slog.New(slog.NewTextHandler(&out, nil)).Info("m", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "v", v)
	}
	_, _ = fmt.Fprint(&out, c.Effective(), c.Warnings(), c.Validate(ComponentWorker), errors.Join(c.Validate(ComponentCLI)))
	require.Contains(t, out.String(), mask)
	for _, secret := range []string{"canary", fmt.Sprintf("%x", "canary"), "99 97 110 97 114 121"} {
		before, _, found := strings.Cut(out.String(), secret)
		require.False(t, found, "printed after ...%s", before[max(0, len(before)-200):])
	}
}

func TestURLMasks(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"":                                  "",
		"postgres://u:p@h:5432/db":          "postgres://u:***@h:5432/db",
		"postgres://u@h/db":                 "postgres://u@h/db",
		"postgres://h/db?password=p&a=b":    "postgres://h/db?password=***&a=b",
		"amqp://u:p%20q@h":                  "amqp://u:***@h",
		"host=h user=u password=p":          mask,
		"postgres://u:p/q@h/db":             mask,
		"postgres://u:12/q@h/db":            mask,
		"postgres://u:12#q@h/db":            mask,
		"postgres://u:12?q@h/db":            mask,
		"postgres://u:%zz@h/db":             mask,
		"https://stevedore.example:8443/x/": "https://stevedore.example:8443/x/",
	} {
		require.Equal(t, want, URL(raw).String(), raw)
	}
}

func TestWarningsSuggestNames(t *testing.T) {
	t.Parallel()
	c := load(t, Options{Environ: []string{
		"STEVEDORE_S3_BUKET=x", "STEVEDORE_NOTHING_LIKE_IT=x", "STEVEDORE_DEV_X=1", "STEVEDORE_TEST_X=1",
		"STEVEDORE_TEMPORAL_UI_URL=x", "STEVEDORE_S3_CONSOLE_URL=x", "HOME=/root",
	}})
	require.Equal(t, []string{
		"STEVEDORE_NOTHING_LIKE_IT is not a variable of stevedore and has no effect",
		"STEVEDORE_S3_BUKET is not a variable of stevedore and has no effect: did you mean STEVEDORE_S3_BUCKET?",
	}, c.Warnings())
}

func TestTagsAreComplete(t *testing.T) {
	t.Parallel()
	components := []string{"worker", "api", "setup", "migrate", "cli", "keys", "break-glass"}
	seen := map[string]bool{}
	for section := range sections(&Config{}) {
		for i := range section.NumField() {
			sf := section.Type().Field(i)
			f := newField(sf)
			require.True(t, strings.HasPrefix(f.name, prefix), sf.Name)
			require.False(t, seen[f.name], f.name)
			seen[f.name] = true
			require.NotEmpty(t, f.description, f.name)
			require.Subset(t, components, f.required, f.name)
			require.False(t, f.defaultText != "" && len(f.required) > 0, "%s has a default and is required", f.name)
		}
	}
	require.Empty(t, load(t, Options{}).found().malformed, "defaults must parse")
	require.Equal(t, reflect.TypeFor[Secret](), reflect.TypeOf(Config{}.API.Token))
}

func TestMarkdownHasEveryVariable(t *testing.T) {
	t.Parallel()
	text := Markdown()
	for _, s := range Variables() {
		require.Equal(t, 1, strings.Count(text, "| `"+s.Name+"` |"), s.Name)
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "| `STEVEDORE_") {
			require.Equal(t, 6, strings.Count(line, "|")-strings.Count(line, `\|`), line)
		}
	}
	require.Contains(t, text, "| `STEVEDORE_CONFIG_FILE` | `--config` |")
	require.Contains(t, text, "| `TEMPORAL_ADDRESS` |")
	require.Contains(t, text, "envconfig")
	require.NotContains(t, text, "`--token`")
}

// TestBootstrapTokenHasAMinimumLength: processes that accept the token require it. The command
// line may send shorter tokens.
func TestBootstrapTokenHasAMinimumLength(t *testing.T) {
	t.Parallel()
	c := load(t, Options{Environ: append(complete(), "STEVEDORE_TOKEN="+strings.Repeat("x", 31))})
	require.ErrorContains(t, c.Validate(ComponentAPI), "STEVEDORE_TOKEN has fewer than 32 characters")
	require.NotContains(t, c.Validate(ComponentAPI).Error(), "xxx")
	require.NoError(t, c.Validate(ComponentCLI))
	require.NoError(t, c.Validate(ComponentWorker))
	c = load(t, Options{Environ: append(complete(), "STEVEDORE_TOKEN="+strings.Repeat("x", 31), "STEVEDORE_WORKER_METRICS_ADDR=127.0.0.1:9100")})
	require.ErrorContains(t, c.Validate(ComponentWorker), "STEVEDORE_TOKEN has fewer than 32 characters")
	c = load(t, Options{Environ: append(complete(), "STEVEDORE_TOKEN="+strings.Repeat("x", 32))})
	require.NoError(t, c.Validate(ComponentAPI))
}

func TestDocumentationIsUpToDate(t *testing.T) {
	t.Parallel()
	written, err := os.ReadFile("../../docs/configuration.md")
	require.NoError(t, err)
	require.Equal(t, Markdown(), string(written), "run `make generate`")
}
