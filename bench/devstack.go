package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// stackVariable holds the folder of the stack; `devstack run` sets it. The folder
// contains pids/NAME and state/NAME.json for each process.
const stackVariable = "DEVSTACK_DIR"

// serviceNames are the processes of the stack whose CPU time is reported.
var serviceNames = []string{"temporal", "postgres", "minio", "rabbitmq"}

// ServicePids returns the pid of each service of the stack by its name.
func ServicePids() (map[string]int, error) {
	dir := os.Getenv(stackVariable)
	if dir == "" {
		return nil, errors.New(stackVariable + " is not set: run `make load`")
	}
	pids := map[string]int{}
	for _, name := range serviceNames {
		text, err := os.ReadFile(filepath.Join(dir, "pids", name))
		if err != nil {
			return nil, fmt.Errorf("read the pid of %s: %w", name, err)
		}
		if pids[name], err = strconv.Atoi(strings.TrimSpace(string(text))); err != nil {
			return nil, fmt.Errorf("read the pid of %s: %w", name, err)
		}
	}
	return pids, nil
}

// TemporalMetricsURL returns the URL of the Temporal server's metrics, from its
// arguments.
func TemporalMetricsURL() (string, error) {
	text, err := os.ReadFile(filepath.Join(os.Getenv(stackVariable), "state", "temporal.json"))
	if err != nil {
		return "", err
	}
	var spec struct {
		Args []string `json:"args"`
	}
	if err := json.Unmarshal(text, &spec); err != nil {
		return "", err
	}
	at := slices.Index(spec.Args, "--metrics-port")
	if at < 0 || at == len(spec.Args)-1 {
		return "", fmt.Errorf("the Temporal server has no --metrics-port: %v", spec.Args)
	}
	return "http://" + net.JoinHostPort("127.0.0.1", spec.Args[at+1]) + "/metrics", nil
}
