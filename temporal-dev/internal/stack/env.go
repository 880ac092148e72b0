package stack

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"stevedore/temporal-dev/internal/ports"
)

// addresses are the ports and passwords of a stack. They are saved and stay the same
// over restarts.
type addresses struct {
	Postgres     int `json:"postgres"`
	AMQP         int `json:"amqp"`
	Epmd         int `json:"epmd"`
	Dist         int `json:"dist"`
	Temporal     int `json:"temporal"`
	UI           int `json:"ui"`
	Minio        int `json:"minio"`
	MinioConsole int `json:"minio_console"`
	API          int `json:"api"`
	// Metrics is the port of the worker's metrics.
	Metrics int `json:"metrics"`
	// TemporalMetrics is the port of the Temporal server's metrics.
	TemporalMetrics int `json:"temporal_metrics"`

	PostgresPassword string `json:"postgres_password"`
	AMQPPassword     string `json:"amqp_password"`
	MinioPassword    string `json:"minio_password"`
	Token            string `json:"token"`
	// PostgresDir holds the cluster. It is outside of Dir if the user postgres cannot
	// reach Dir.
	PostgresDir string `json:"postgres_dir"`
}

// preferredPorts are well-known ports, 0 for any. MinIO's default, 9000, is the API's
// here. A private stack uses none of them.
func preferredPorts(private bool) []int {
	if private {
		return make([]int, 11)
	}
	return []int{5432, 5672, 0, 0, 7233, 8233, 9002, 9003, 9000, 9100, 0}
}

// choose chooses ports and generates passwords.
func choose(private bool) (addresses, error) {
	p, err := ports.Choose(preferredPorts(private)...)
	if err != nil {
		return addresses{}, err
	}
	return addresses{
		Postgres: p[0], AMQP: p[1], Epmd: p[2], Dist: p[3], Temporal: p[4], UI: p[5],
		Minio: p[6], MinioConsole: p[7], API: p[8], Metrics: p[9], TemporalMetrics: p[10],
		PostgresPassword: secret(), AMQPPassword: secret(), MinioPassword: secret(), Token: secret() + secret(),
	}, nil
}

// secret returns 130 random bits as letters and digits.
func secret() string { return strings.ToLower(rand.Text()) }

// replaceTaken replaces ports that are no longer free.
func (a *addresses) replaceTaken() error {
	for _, port := range a.ports() {
		if *port != 0 && ports.Free(*port) { // 0: saved by a version without this port
			continue
		}
		p, err := ports.Choose(0)
		if err != nil {
			return err
		}
		*port = p[0]
	}
	return nil
}

func (a *addresses) ports() []*int {
	return []*int{&a.Postgres, &a.AMQP, &a.Epmd, &a.Dist, &a.Temporal, &a.UI, &a.Minio, &a.MinioConsole, &a.API, &a.Metrics, &a.TemporalMetrics}
}

func (s *Stack) addressFile() string { return filepath.Join(s.Dir, "state", "addresses") }

func (s *Stack) loadAddresses() error {
	text, err := os.ReadFile(s.addressFile())
	if errors.Is(err, fs.ErrNotExist) {
		s.addr, err = choose(s.Private)
		return err
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(text, &s.addr)
}

func (s *Stack) saveAddresses() error {
	if err := os.MkdirAll(filepath.Dir(s.addressFile()), 0o755); err != nil {
		return err
	}
	text, err := json.MarshalIndent(s.addr, "", "  ")
	if err != nil {
		return err
	}
	if err := s.Write(s.addressFile(), text, 0o600); err != nil {
		return err
	}
	var file strings.Builder
	for _, line := range s.Env() {
		file.WriteString(quoted(line))
	}
	return s.Write(s.EnvFile(), []byte(file.String()), 0o600)
}

// EnvFile returns the path of the file with the result of Env.
func (s *Stack) EnvFile() string { return filepath.Join(s.Dir, "env") }

// Env returns the stack's addresses and credentials and stevedore's settings as
// KEY=value.
func (s *Stack) Env() []string {
	overridden := func(line string) bool {
		name, _, _ := strings.Cut(line, "=")
		return value(s.settings, name) != ""
	}
	return slices.Concat(s.fixed(), slices.DeleteFunc(s.defaults(), overridden), s.settings)
}

// fixed returns the variables that callers cannot set: addresses, credentials and names.
func (s *Stack) fixed() []string {
	a := s.addr
	file := func(name string) string { return filepath.Join(s.Dir, name) }
	return []string{
		"TEMPORAL_ADDRESS=" + ports.Addr(a.Temporal),
		"TEMPORAL_NAMESPACE=default",
		// The file does not exist. Without the variable the file in the home directory
		// would be read, which may name another server.
		"TEMPORAL_CONFIG_FILE=" + file("temporal.toml"),
		fmt.Sprintf("STEVEDORE_DATABASE_URL=postgres://stevedore:%s@%s/stevedore?sslmode=disable", a.PostgresPassword, ports.Addr(a.Postgres)),
		"STEVEDORE_S3_ENDPOINT=" + ports.Addr(a.Minio),
		"STEVEDORE_S3_ACCESS_KEY=stevedore",
		"STEVEDORE_S3_SECRET_KEY=" + a.MinioPassword,
		"STEVEDORE_S3_BUCKET=stevedore",
		"STEVEDORE_S3_REGION=us-east-1",
		"STEVEDORE_S3_USE_TLS=false",
		fmt.Sprintf("STEVEDORE_AMQP_URL=amqp://stevedore:%s@%s/", a.AMQPPassword, ports.Addr(a.AMQP)),
		"STEVEDORE_AMQP_QUEUE=file_imports",
		"STEVEDORE_AMQP_EXCHANGE=",
		"STEVEDORE_AMQP_ROUTING_KEY=file_imports",
		"STEVEDORE_API_ADDR=" + ports.Addr(a.API),
		"STEVEDORE_API_URL=http://" + ports.Addr(a.API),
		"STEVEDORE_WORKER_METRICS_ADDR=" + ports.Addr(a.Metrics),
		"STEVEDORE_TOKEN=" + a.Token,
		"STEVEDORE_STAGING_DIR=" + file("staging"),
		"STEVEDORE_KEYSET_FILE=" + file("keyset.json"),
		"STEVEDORE_TEMPORAL_UI_URL=http://" + ports.Addr(a.UI),
		"STEVEDORE_S3_CONSOLE_URL=http://" + ports.Addr(a.MinioConsole),
	}
}

// defaults returns the settings that callers can override.
func (s *Stack) defaults() []string {
	return []string{
		"STEVEDORE_STAGING_RESERVE_BYTES=" + strconv.Itoa(256<<20),
		"STEVEDORE_SCAN_INTERVAL=1m",
		"STEVEDORE_SETTLE=3s",
		"STEVEDORE_SFTP_ALLOW_NETWORKS=127.0.0.0/8,::1/128",
	}
}

// Get returns one value of Env.
func (s *Stack) Get(key string) string { return value(s.Env(), key) }

// withoutPassword returns the address with its password masked.
func withoutPassword(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.User == nil {
		return address
	}
	return u.Redacted()
}
