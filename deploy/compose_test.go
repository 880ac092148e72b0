// Package deploy_test checks the files for Docker without Docker: it loads
// docker-compose.yml with Compose's own library and compares it with the
// configuration that stevedore requires.
package deploy_test

import (
	"bufio"
	"bytes"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"

	"stevedore/internal/config"
)

// runFirst is the error message of Compose without the file of secrets.
const runFirst = "run deploy/make-env.sh first"

// components maps the services that run stevedore to their component.
var components = map[string]config.Component{
	"setup": config.ComponentSetup, "worker": config.ComponentWorker, "api": config.ComponentAPI,
}

// listens has the ports of third-party images; those of minio, api and sftp are
// derived from their settings.
var listens = map[string][]string{
	"postgres": {"5432"}, "rabbitmq": {"5672", "15672"}, "temporal": {"7233"}, "temporal-ui": {"8080"},
}

// withoutHealth are the services that need no health check, or cannot have one.
var withoutHealth = []string{"setup", "temporal-ui"}

// subject is a compose file with the secrets of one run of make-env.sh.
type subject struct {
	text    string
	secrets map[string]string
	project *types.Project
}

func read(t *testing.T, elements ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(elements...))
	require.NoError(t, err)
	return string(text)
}

func composeFile(t *testing.T) string { return read(t, "..", "docker-compose.yml") }

// makeEnv runs make-env.sh and returns its file, and its output with any error.
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
	made, err := dotenv.Read(target)
	require.NoError(t, err)
	return made
}

// load interpolates only the given variables, without the environment of the
// machine.
func load(t *testing.T, text string, variables map[string]string) (*types.Project, error) {
	t.Helper()
	root, err := filepath.Abs("..")
	require.NoError(t, err)
	return loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir:  root,
		ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(root, "docker-compose.yml"), Content: []byte(text)}},
		Environment: maps.Clone(variables), // the loader adds to it
	})
}

func environ(service types.ServiceConfig) []string {
	var all []string
	for name, value := range service.Environment {
		if value != nil {
			all = append(all, name+"="+*value)
		}
	}
	slices.Sort(all)
	return all
}

// get returns a variable of a service; empty when it has none.
func (s subject) get(service, name string) string {
	if value := s.project.Services[service].Environment[name]; value != nil {
		return *value
	}
	return ""
}

// check returns the errors, one sentence each.
type check func(t *testing.T, s subject) []string

var checks = map[string]check{
	"configuration": checkConfiguration,
	"dependencies":  checkDependencies,
	"health":        checkHealth,
	"lifecycle":     checkLifecycle,
	"volumes":       checkVolumes,
	"keyset":        checkKeyset,
	"ports":         checkPorts,
	"images":        checkImages,
	"secrets":       checkSecrets,
	"missing env":   checkMissingEnv,
	"addresses":     checkAddresses,
	"credentials":   checkCredentials,
	"networks":      checkNetworks,
}

func TestComposeFile(t *testing.T) {
	t.Parallel()
	s := subject{text: composeFile(t), secrets: secrets(t)}
	project, err := load(t, s.text, s.secrets)
	require.NoError(t, err)
	s.project = project
	for name, run := range checks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Empty(t, run(t, s))
		})
	}
}

// checkConfiguration reads the configuration of each service from the
// service's environment only.
func checkConfiguration(t *testing.T, s subject) (wrong []string) {
	for name, component := range components {
		service := s.project.Services[name]
		if !slices.Equal(service.Command, []string{string(component)}) {
			wrong = append(wrong, fmt.Sprintf("%s runs %v", name, service.Command))
		}
		cfg, err := config.Load(config.Options{Environ: environ(service)})
		require.NoError(t, err)
		if err := cfg.Validate(component); err != nil {
			wrong = append(wrong, err.Error())
		}
	}
	for name, service := range s.project.Services {
		cfg, err := config.Load(config.Options{Environ: environ(service)})
		require.NoError(t, err)
		for _, warning := range cfg.Warnings() {
			wrong = append(wrong, name+": "+warning)
		}
	}
	return wrong
}

func hasHealth(service types.ServiceConfig) bool {
	return service.HealthCheck != nil && !service.HealthCheck.Disable && len(service.HealthCheck.Test) > 1
}

func checkDependencies(_ *testing.T, s subject) (wrong []string) {
	for name, service := range s.project.Services {
		for other, dependency := range service.DependsOn {
			needed, ok := s.project.Services[other]
			switch {
			case !ok:
				wrong = append(wrong, fmt.Sprintf("%s depends on %s, which is no service", name, other))
			case dependency.Condition == types.ServiceConditionHealthy && !hasHealth(needed):
				wrong = append(wrong, fmt.Sprintf("%s waits for the health of %s, which has no check", name, other))
			case dependency.Condition == types.ServiceConditionCompletedSuccessfully && needed.Restart != types.RestartPolicyNo:
				wrong = append(wrong, fmt.Sprintf("%s waits for the end of %s, which restarts", name, other))
			case dependency.Condition == types.ServiceConditionStarted:
				wrong = append(wrong, fmt.Sprintf("%s does not wait until %s is ready", name, other))
			}
		}
	}
	for _, name := range []string{"worker", "api"} {
		if s.project.Services[name].DependsOn["setup"].Condition != types.ServiceConditionCompletedSuccessfully {
			wrong = append(wrong, name+" does not wait for the end of setup")
		}
	}
	return wrong
}

func checkHealth(_ *testing.T, s subject) (wrong []string) {
	for name, service := range s.project.Services {
		if hasHealth(service) == slices.Contains(withoutHealth, name) {
			wrong = append(wrong, fmt.Sprintf("%s has a health check: %t", name, hasHealth(service)))
		}
	}
	_, port, _ := net.SplitHostPort(s.get("api", "STEVEDORE_API_ADDR"))
	api := s.project.Services["api"]
	if hasHealth(api) && !slices.Contains(api.HealthCheck.Test, "http://127.0.0.1:"+port+"/readyz") {
		wrong = append(wrong, "the api's health check asks elsewhere than on port "+port)
	}
	_, port, _ = net.SplitHostPort(s.get("worker", "STEVEDORE_WORKER_METRICS_ADDR"))
	worker := s.project.Services["worker"]
	if hasHealth(worker) && !slices.Contains(worker.HealthCheck.Test, "http://127.0.0.1:"+port+"/livez") {
		wrong = append(wrong, "the worker's health check asks elsewhere than on port "+port)
	}
	return wrong
}

func checkLifecycle(t *testing.T, s subject) (wrong []string) {
	for name, service := range s.project.Services {
		want := types.RestartPolicyUnlessStopped
		if name == "setup" {
			want = types.RestartPolicyNo
		}
		if service.Restart != want {
			wrong = append(wrong, fmt.Sprintf("%s restarts %q, not %q", name, service.Restart, want))
		}
	}
	worker := s.project.Services["worker"]
	cfg, err := config.Load(config.Options{Environ: environ(worker)})
	require.NoError(t, err)
	if grace := worker.StopGracePeriod; grace == nil || time.Duration(*grace) < cfg.Worker.StopTimeout+10*time.Second {
		wrong = append(wrong, fmt.Sprintf("the worker is killed after %v, its steps may need %s", grace, cfg.Worker.StopTimeout))
	}
	return wrong
}

// mounts returns a service's named volumes by mount point.
func mounts(service types.ServiceConfig) map[string]types.ServiceVolumeConfig {
	found := map[string]types.ServiceVolumeConfig{}
	for _, volume := range service.Volumes {
		if volume.Type == types.VolumeTypeVolume {
			found[volume.Target] = volume
		}
	}
	return found
}

func checkVolumes(_ *testing.T, s subject) (wrong []string) {
	used := map[string]bool{}
	for name, service := range s.project.Services {
		for target, volume := range mounts(service) {
			used[volume.Source] = true
			if _, ok := s.project.Volumes[volume.Source]; !ok {
				wrong = append(wrong, fmt.Sprintf("%s mounts %q at %s, which is not declared", name, volume.Source, target))
			}
		}
		for _, volume := range service.Volumes {
			if volume.Type != types.VolumeTypeBind {
				continue
			}
			if info, err := os.Stat(volume.Source); err != nil || !info.Mode().IsRegular() {
				wrong = append(wrong, fmt.Sprintf("%s mounts %s, which is no file", name, volume.Source))
			}
		}
	}
	for name := range s.project.Volumes {
		if !used[name] {
			wrong = append(wrong, "no service mounts volume "+name)
		}
	}
	return wrong
}

// checkKeyset requires one shared keyset that only setup writes, and a staging
// volume that only the worker mounts.
func checkKeyset(_ *testing.T, s subject) (wrong []string) {
	volumes := map[string]bool{}
	for name := range components {
		folder := path.Dir(s.get(name, "STEVEDORE_KEYSET_FILE"))
		volume, ok := mounts(s.project.Services[name])[folder]
		if !ok {
			wrong = append(wrong, fmt.Sprintf("%s has no volume at %s", name, folder))
		}
		if ok && volume.ReadOnly == (name == "setup") {
			wrong = append(wrong, fmt.Sprintf("%s mounts the keyset read-only: %t", name, volume.ReadOnly))
		}
		volumes[volume.Source] = true
	}
	if len(volumes) != 1 {
		wrong = append(wrong, fmt.Sprintf("the keyset is on %d volumes", len(volumes)))
	}
	staging := mounts(s.project.Services["worker"])[s.get("worker", "STEVEDORE_STAGING_DIR")]
	if staging.Source == "" || staging.ReadOnly {
		wrong = append(wrong, "the worker's staging folder is on no volume it can write to")
	}
	for name, service := range s.project.Services {
		for _, volume := range mounts(service) {
			if volume.Source == staging.Source && name != "worker" {
				wrong = append(wrong, name+" mounts the worker's staging volume")
			}
		}
	}
	return wrong
}

// listening returns the ports a service listens on.
func listening(t *testing.T, s subject, service string) []string {
	switch service {
	case "minio":
		return regexp.MustCompile(`\b\d+\b`).FindAllString(strings.Join(s.project.Services["minio"].Command, " "), -1)
	case "api":
		_, port, err := net.SplitHostPort(s.get("api", "STEVEDORE_API_ADDR"))
		require.NoError(t, err)
		return []string{port}
	case "sftp":
		return regexp.MustCompile(`(?m)^Port (\d+)$`).FindStringSubmatch(read(t, "sftp", "sshd_config"))[1:]
	default:
		return listens[service]
	}
}

func checkPorts(t *testing.T, s subject) (wrong []string) {
	takenBy := map[string]string{}
	for name, service := range s.project.Services {
		for _, port := range service.Ports {
			if !net.ParseIP(port.HostIP).IsLoopback() {
				wrong = append(wrong, fmt.Sprintf("%s publishes port %s on %q", name, port.Published, port.HostIP))
			}
			if other, taken := takenBy[port.Published]; taken {
				wrong = append(wrong, fmt.Sprintf("%s and %s publish port %s", name, other, port.Published))
			}
			takenBy[port.Published] = name
			if !slices.Contains(listening(t, s, name), fmt.Sprint(port.Target)) {
				wrong = append(wrong, fmt.Sprintf("%s does not listen on port %d", name, port.Target))
			}
		}
	}
	return wrong
}

// pinned reports whether an image has a tag that names a version.
func pinned(image string) bool {
	_, tag, tagged := strings.Cut(path.Base(image), ":")
	return tagged && regexp.MustCompile(`\d+[.-]\d+`).MatchString(tag)
}

func checkImages(_ *testing.T, s subject) (wrong []string) {
	for name, service := range s.project.Services {
		if service.Build != nil { // ours: built here, never pulled
			if tag := s.project.Services[name].Image; !strings.HasSuffix(tag, ":dev") {
				wrong = append(wrong, fmt.Sprintf("%s is built as %s", name, tag))
			}
			if _, err := os.Stat(filepath.Join(service.Build.Context, service.Build.Dockerfile)); err != nil {
				wrong = append(wrong, name+": "+err.Error())
			}
			continue
		}
		if !pinned(service.Image) {
			wrong = append(wrong, fmt.Sprintf("%s uses %s, which may be another image tomorrow", name, service.Image))
		}
	}
	return wrong
}

var passwordLike = regexp.MustCompile(`(PASSWORD|PASS|PWD|SECRET|SECRET_KEY|TOKEN)$`)

// checkSecrets requires every password to be a generated value, so that the
// file contains none.
func checkSecrets(_ *testing.T, s subject) (wrong []string) {
	generated := slices.Collect(maps.Values(s.secrets))
	used := map[string]bool{}
	for name, service := range s.project.Services {
		for variable, value := range service.Environment {
			password := *value
			u, err := url.Parse(*value)
			inURL := err == nil && u.User != nil
			if inURL {
				password, _ = u.User.Password()
			}
			if (inURL || passwordLike.MatchString(variable)) && !slices.Contains(generated, password) {
				wrong = append(wrong, fmt.Sprintf("%s of %s is not from deploy/compose.env", variable, name))
			}
			used[password] = true
		}
	}
	for name, value := range s.secrets {
		if strings.Contains(s.text, value) {
			wrong = append(wrong, "the file contains the value of "+name)
		}
		if !used[value] {
			wrong = append(wrong, name+" is generated but not used")
		}
	}
	return wrong
}

// checkMissingEnv removes all secrets, then empties each one. Compose refuses
// unset variables like empty ones.
func checkMissingEnv(t *testing.T, s subject) (wrong []string) {
	without := []map[string]string{{}}
	for name := range s.secrets {
		emptied := maps.Clone(s.secrets)
		emptied[name] = ""
		without = append(without, emptied)
	}
	for _, variables := range without {
		if _, err := load(t, s.text, variables); err == nil || !strings.Contains(err.Error(), runFirst) {
			wrong = append(wrong, fmt.Sprintf("with %d secrets there, one of them empty: %v", len(variables), err))
		}
	}
	return wrong
}

// checkAddresses checks every address that a service dials.
func checkAddresses(t *testing.T, s subject) (wrong []string) {
	dial := func(from, variable, address string) {
		host, port, err := net.SplitHostPort(address)
		target, ok := s.project.Services[host]
		switch {
		case err != nil || !ok:
			wrong = append(wrong, fmt.Sprintf("%s of %s is %q, which is no service and port", variable, from, address))
		case !slices.Contains(listening(t, s, host), port):
			wrong = append(wrong, fmt.Sprintf("%s of %s: %s does not listen on %s", variable, from, host, port))
		case !shareNetwork(s.project.Services[from], target):
			wrong = append(wrong, fmt.Sprintf("%s of %s: no network leads to %s", variable, from, host))
		}
	}
	for name := range components {
		for _, variable := range []string{"STEVEDORE_DATABASE_URL", "STEVEDORE_AMQP_URL"} {
			u, err := url.Parse(s.get(name, variable))
			require.NoError(t, err)
			dial(name, variable, u.Host)
		}
		dial(name, "STEVEDORE_S3_ENDPOINT", s.get(name, "STEVEDORE_S3_ENDPOINT"))
	}
	for _, name := range []string{"setup", "worker", "api", "temporal", "temporal-ui"} {
		dial(name, "TEMPORAL_ADDRESS", s.get(name, "TEMPORAL_ADDRESS"))
	}
	dial("temporal", "POSTGRES_SEEDS", net.JoinHostPort(s.get("temporal", "POSTGRES_SEEDS"), s.get("temporal", "DB_PORT")))
	return wrong
}

func shareNetwork(a, b types.ServiceConfig) bool {
	for name := range a.Networks {
		if _, ok := b.Networks[name]; ok {
			return true
		}
	}
	return false
}

// checkCredentials requires equal credentials on both sides of each login.
func checkCredentials(t *testing.T, s subject) (wrong []string) {
	agree := func(what, client, server string) {
		if client != server || client == "" {
			wrong = append(wrong, what+" differs between client and server")
		}
	}
	for name := range components {
		db, err := url.Parse(s.get(name, "STEVEDORE_DATABASE_URL"))
		require.NoError(t, err)
		agree("the ledger's login", db.User.String(), "stevedore:"+s.get("postgres", "LEDGER_DB_PASSWORD"))
		broker, err := url.Parse(s.get(name, "STEVEDORE_AMQP_URL"))
		require.NoError(t, err)
		agree("the broker's login", broker.User.String(),
			s.get("rabbitmq", "RABBITMQ_DEFAULT_USER")+":"+s.get("rabbitmq", "RABBITMQ_DEFAULT_PASS"))
		agree("the store's user", s.get(name, "STEVEDORE_S3_ACCESS_KEY"), s.get("minio", "MINIO_ROOT_USER"))
		agree("the store's password", s.get(name, "STEVEDORE_S3_SECRET_KEY"), s.get("minio", "MINIO_ROOT_PASSWORD"))
		agree("Temporal's namespace", s.get(name, "TEMPORAL_NAMESPACE"), s.get("temporal", "DEFAULT_NAMESPACE"))
	}
	agree("Temporal's database password", s.get("temporal", "POSTGRES_PWD"), s.get("postgres", "TEMPORAL_DB_PASSWORD"))
	script := read(t, "postgres", "init.sh")
	for _, line := range []string{
		"CREATE ROLE " + s.get("temporal", "POSTGRES_USER") + " ", "CREATE DATABASE " + s.get("temporal", "DBNAME") + " ",
		"CREATE DATABASE " + s.get("temporal", "VISIBILITY_DBNAME") + " ", "CREATE ROLE stevedore ", "CREATE DATABASE stevedore ",
	} {
		if !strings.Contains(script, line) {
			wrong = append(wrong, "init.sh does not "+line)
		}
	}
	return wrong
}

// checkNetworks requires that the demo server is the only private address that
// stevedore may reach.
func checkNetworks(t *testing.T, s subject) (wrong []string) {
	if got := slices.Collect(maps.Keys(s.project.Services["sftp"].Networks)); !slices.Equal(got, []string{"partners"}) {
		wrong = append(wrong, fmt.Sprintf("the demo server is in %v", got))
	}
	for _, name := range []string{"worker", "api"} {
		if !shareNetwork(s.project.Services[name], s.project.Services["sftp"]) {
			wrong = append(wrong, name+" cannot reach the demo server")
		}
		cfg, err := config.Load(config.Options{Environ: environ(s.project.Services[name])})
		require.NoError(t, err)
		subnet := s.project.Networks["partners"].Ipam.Config[0].Subnet
		if got := fmt.Sprint(cfg.SFTP.AllowNetworks); got != "["+subnet+"]" {
			wrong = append(wrong, fmt.Sprintf("%s may reach %s, the demo server's network is %s", name, got, subnet))
		}
	}
	return wrong
}

// TestChecksNotice breaks the file once for each check.
func TestChecksNotice(t *testing.T) {
	t.Parallel()
	made, text := secrets(t), composeFile(t)
	for name, broken := range map[string]struct{ check, old, new, want string }{
		"missing variable":     {"configuration", "  STEVEDORE_S3_ENDPOINT: minio:9000\n", "", "STEVEDORE_S3_ENDPOINT is not set"},
		"malformed variable":   {"configuration", "STEVEDORE_API_ADDR: 0.0.0.0:9000", "STEVEDORE_API_ADDR: nonsense", "STEVEDORE_API_ADDR is"},
		"unknown variable":     {"configuration", "STEVEDORE_STAGING_DIR:", "STEVEDORE_STAGGING_DIR:", "did you mean STEVEDORE_STAGING_DIR"},
		"another command":      {"configuration", "command: [api]", "command: [worker]", "api runs [worker]"},
		"no such service":      {"dependencies", "      setup: {condition", "      setuup: {condition", "setuup"},
		"no health check":      {"dependencies", "test: [CMD, mc, ready, local]", "disable: true", "waits for the health of minio"},
		"endless one-shot":     {"dependencies", `restart: "no"`, "restart: unless-stopped", "waits for the end of setup, which restarts"},
		"only started":         {"dependencies", "minio: {condition: service_healthy}", "minio: {condition: service_started}", "setup does not wait until minio"},
		"setup not awaited":    {"dependencies", "setup: {condition: service_completed_successfully}", "temporal: {condition: service_healthy}", "does not wait for the end of setup"},
		"health lost":          {"health", "test: [CMD, mc, ready, local]", "disable: true", "minio has a health check: false"},
		"health elsewhere":     {"health", "127.0.0.1:9000/readyz", "127.0.0.1:9001/readyz", "asks elsewhere"},
		"liveness elsewhere":   {"health", "127.0.0.1:9100/livez", "127.0.0.1:9101/livez", "the worker's health check asks elsewhere"},
		"no metrics":           {"health", "      STEVEDORE_WORKER_METRICS_ADDR: 0.0.0.0:9100\n", "", "the worker's health check asks elsewhere"},
		"no restart":           {"lifecycle", "restart: unless-stopped", `restart: "no"`, "postgres restarts"},
		"short grace":          {"lifecycle", "stop_grace_period: 60s\n    depends_on:\n      setup", "stop_grace_period: 30s\n    depends_on:\n      setup", "the worker is killed"},
		"undeclared volume":    {"volumes", "\n  staging:\n", "\n", "staging"},
		"unused volume":        {"volumes", "\n  staging:\n", "\n  staging:\n  spare:\n", "no service mounts volume spare"},
		"no such file":         {"volumes", "./deploy/postgres/init.sh", "./deploy/postgres/none.sh", "which is no file"},
		"keyset elsewhere":     {"keyset", "keys/keyset.json", "keyset.json", "has no volume at"},
		"keyset not shared":    {"keyset", "keys:/var/lib/stevedore/keys:ro", "sftp-keys:/var/lib/stevedore/keys:ro", "on 2 volumes"},
		"keyset writable":      {"keyset", "keys:/var/lib/stevedore/keys:ro", "keys:/var/lib/stevedore/keys", "read-only: false"},
		"staging shared":       {"keyset", "minio-data:/data", "staging:/data", "minio mounts the worker's staging"},
		"staging not kept":     {"keyset", "staging:/var/lib/stevedore/staging", "staging:/elsewhere", "on no volume"},
		"published everywhere": {"ports", "127.0.0.1:${API_PORT", "0.0.0.0:${API_PORT", `api publishes port 9000 on "0.0.0.0"`},
		"published twice":      {"ports", "PORT:-9002", "PORT:-9000", "publish port 9000"},
		"no listener":          {"ports", "-8233}:8080", "-8233}:8081", "does not listen on port 8081"},
		"no tag":               {"images", "postgres:15.18-bookworm", "postgres", "uses postgres,"},
		"latest":               {"images", "temporalio/ui:2.42.1", "temporalio/ui:latest", "ui:latest"},
		"major only":           {"images", "postgres:15.18-bookworm", "postgres:15", "uses postgres:15,"},
		"no such Dockerfile":   {"images", "dockerfile: deploy/Dockerfile", "dockerfile: Dockerfile", "no such file"},
		"password in file":     {"secrets", "SFTP_PASSWORD: ${DEMO_SFTP_PASSWORD:?run deploy/make-env.sh first}", "SFTP_PASSWORD: hunter2", "SFTP_PASSWORD of sftp is not from"},
		"password in URL":      {"secrets", "stevedore:${BROKER_PASSWORD:?run deploy/make-env.sh first}@", "stevedore:hunter2@", "STEVEDORE_AMQP_URL of worker is not from"},
		"secret in file":       {"secrets", "name: stevedore", "name: stevedore # " + made["API_TOKEN"], "contains the value of API_TOKEN"},
		"secret not used":      {"secrets", "${API_TOKEN:?", "${BROKER_PASSWORD:?", "API_TOKEN is generated but not used"},
		"silent default":       {"missing env", "${API_TOKEN:?run deploy/make-env.sh first}", "${API_TOKEN:-}", "<nil>"},
		"unhelpful message":    {"missing env", "${API_TOKEN:?run deploy/make-env.sh first}", "${API_TOKEN:?}", "API_TOKEN"},
		"database elsewhere":   {"addresses", "@postgres:5432/", "@localhost:5432/", "STEVEDORE_DATABASE_URL of setup"},
		"database port":        {"addresses", "@postgres:5432/", "@postgres:5433/", "postgres does not listen on 5433"},
		"store port":           {"addresses", "minio:9000", "minio:9002", "minio does not listen on 9002"},
		"broker port":          {"addresses", "@rabbitmq:5672/", "@rabbitmq:15671/", "rabbitmq does not listen on 15671"},
		"temporal elsewhere":   {"addresses", "TEMPORAL_ADDRESS: temporal:7233", "TEMPORAL_ADDRESS: temporl:7233", "TEMPORAL_ADDRESS of worker"},
		"temporal's database":  {"addresses", "POSTGRES_SEEDS: postgres", "POSTGRES_SEEDS: postgresql", "POSTGRES_SEEDS of temporal"},
		"out of reach":         {"addresses", "networks: [default, partners]", "networks: [partners]", "no network leads to"},
		"ledger's login":       {"credentials", "${LEDGER_DB_PASSWORD:?run deploy/make-env.sh first}@", "${BROKER_PASSWORD:?run deploy/make-env.sh first}@", "the ledger's login differs"},
		"broker's login":       {"credentials", "RABBITMQ_DEFAULT_USER: stevedore", "RABBITMQ_DEFAULT_USER: other", "the broker's login differs"},
		"store's login":        {"credentials", "MINIO_ROOT_USER: stevedore", "MINIO_ROOT_USER: other", "the store's user differs"},
		"temporal's login":     {"credentials", "POSTGRES_PWD: ${TEMPORAL_DB_PASSWORD", "POSTGRES_PWD: ${LEDGER_DB_PASSWORD", "Temporal's database password differs"},
		"namespace":            {"credentials", "DEFAULT_NAMESPACE: default", "DEFAULT_NAMESPACE: other", "Temporal's namespace differs"},
		"role not made":        {"credentials", "POSTGRES_USER: temporal", "POSTGRES_USER: other", "init.sh does not CREATE ROLE other"},
		"demo in the middle":   {"networks", "networks: [partners]", "networks: [partners, default]", "the demo server is in"},
		"too much allowed":     {"networks", "ALLOW_NETWORKS: ${SFTP_SUBNET:-172.30.240.0/24}", "ALLOW_NETWORKS: 172.16.0.0/12", "may reach [172.16.0.0/12]"},
		"demo out of reach":    {"networks", "networks: [default, partners]", "networks: [default]", "cannot reach the demo server"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Contains(t, text, broken.old)
			s := subject{text: strings.ReplaceAll(text, broken.old, broken.new), secrets: made}
			project, err := load(t, s.text, s.secrets)
			if err != nil { // found by the loader already
				require.ErrorContains(t, err, broken.want)
				return
			}
			s.project = project
			require.Contains(t, strings.Join(checks[broken.check](t, s), "\n"), broken.want)
		})
	}
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
	require.Len(t, entries, 1, "no temporary file stays")

	made, err := dotenv.Read(target)
	require.NoError(t, err)
	other := secrets(t)
	seen := map[string]bool{}
	for name, value := range made {
		require.Regexp(t, `^[0-9a-f]{48}$`, value, name)
		require.NotContains(t, out, value, "secrets are not for the screen")
		require.False(t, seen[value], "%s is not of its own", name)
		require.NotEqual(t, other[name], value)
		seen[value] = true
	}

	before := read(t, target)
	out, err = makeEnv(t, target)
	require.NoError(t, err, "a second run does not get in the way of docker compose up")
	require.Contains(t, out, "is kept")
	require.Equal(t, before, read(t, target))

	require.NoError(t, os.WriteFile(target, []byte(strings.Replace(before, "\nAPI_TOKEN=", "\nAPI_TOKENN=", 1)), 0o600))
	out, err = makeEnv(t, target)
	require.Error(t, err)
	require.Contains(t, out, "lacks API_TOKEN:")
}

// TestExampleDocumentsEveryVariable compares compose.env.example with the
// variables of the compose file: secrets, and defaults of the others.
func TestExampleDocumentsEveryVariable(t *testing.T) {
	t.Parallel()
	documented := map[string]string{}
	comment := ""
	lines := bufio.NewScanner(strings.NewReader(read(t, "compose.env.example")))
	for lines.Scan() {
		line := strings.TrimPrefix(lines.Text(), "#")
		name, value, isVariable := strings.Cut(line, "=")
		switch {
		case isVariable && regexp.MustCompile(`^[A-Z_]+$`).MatchString(name):
			require.NotEmpty(t, comment, "%s is not explained", name)
			documented[name] = value
		case line == "":
			comment = ""
		default:
			comment += line
		}
	}
	read := map[string]string{}
	for _, found := range regexp.MustCompile(`\$\{([A-Z_]+):([-?])([^}]*)\}`).FindAllStringSubmatch(composeFile(t), -1) {
		fallback := found[3]
		if found[2] == "?" {
			require.Equal(t, runFirst, fallback, found[1])
			fallback = ""
		}
		if before, again := read[found[1]]; again {
			require.Equal(t, before, fallback, "%s has two defaults", found[1])
		}
		read[found[1]] = fallback
	}
	require.Equal(t, documented, read)
}

// instructions returns the arguments of a Dockerfile's instructions of a kind.
func instructions(dockerfile, kind string) []string {
	joined := strings.ReplaceAll(dockerfile, "\\\n", " ")
	var all []string
	for _, found := range regexp.MustCompile(`(?m)^`+kind+` (.*)$`).FindAllStringSubmatch(joined, -1) {
		all = append(all, found[1])
	}
	return all
}

func TestDockerfiles(t *testing.T) {
	t.Parallel()
	ours := read(t, "Dockerfile")
	for _, dockerfile := range []string{ours, read(t, "sftp", "Dockerfile")} {
		for _, from := range instructions(dockerfile, "FROM") {
			require.True(t, pinned(strings.Fields(from)[0]), "FROM %s", from)
		}
	}
	builder := regexp.MustCompile(`^golang:(\d+\.\d+)(\.\d+)-bookworm AS build$`).FindStringSubmatch(instructions(ours, "FROM")[0])
	require.NotNil(t, builder)
	module := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, "..", "go.mod"))
	require.Equal(t, module[1], builder[1], "the builder's Go is that of go.mod")

	require.Equal(t, []string{"10001:10001"}, instructions(ours, "USER"))
	require.Equal(t, []string{`["/usr/local/bin/stevedore"]`}, instructions(ours, "ENTRYPOINT"))
	build := strings.Join(instructions(ours, "RUN"), "\n")
	for _, part := range []string{"CGO_ENABLED=0", "-trimpath", "-X main.version=", "./cmd/stevedore", "chown -R stevedore:stevedore /var/lib/stevedore"} {
		require.Contains(t, build, part)
	}
	for _, folder := range []string{"/var/lib/stevedore/staging", "/var/lib/stevedore/keys"} {
		require.Contains(t, build, "mkdir -p", folder)
		require.Contains(t, build, folder, "a volume takes its owner from the image")
		require.Contains(t, composeFile(t), ":"+folder)
	}
}

// TestBuilderSeesEveryPackage fails if .dockerignore excludes a folder that the
// binary needs.
func TestBuilderSeesEveryPackage(t *testing.T) {
	t.Parallel()
	ignore := strings.Split(read(t, "..", ".dockerignore"), "\n")
	require.Contains(t, ignore, "*", "nothing goes to the builder unless it is listed")
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{with .Module}}{{if .Main}}{{$.ImportPath}}{{end}}{{end}}", "./cmd/stevedore")
	cmd.Dir = ".."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	packages := strings.Fields(string(out))
	require.Contains(t, packages, "stevedore/cmd/stevedore")
	for _, name := range packages {
		folder := strings.Split(name, "/")[1]
		require.Contains(t, ignore, "!"+folder, name)
	}
}
